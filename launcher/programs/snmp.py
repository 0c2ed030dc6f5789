"""Network management by SNMP: polling, walking, tables, settings; versions 1, 2c and 3.

Server and clients are Net-SNMP's. Only the host's own network counters and descriptions can be
seen, not what else runs on the machine.
"""

from __future__ import annotations

import random

from common import Service, Session, main, word
from common_daemon import start_daemon, workspace
from common_tool import home, run_tool

READ, WRITE, USER, PASSWORD = "public", "private", "manager", "lab-password"
TREES = ("system", "interfaces", "ip", "icmp", "tcp", "udp", "ifMIB")
OIDS = {
    "system": "1.3.6.1.2.1.1",
    "interfaces": "1.3.6.1.2.1.2",
    "ip": "1.3.6.1.2.1.4",
    "icmp": "1.3.6.1.2.1.5",
    "tcp": "1.3.6.1.2.1.6",
    "udp": "1.3.6.1.2.1.7",
    "ifMIB": "1.3.6.1.2.1.31",
}
SINGLE = (
    *(f"1.3.6.1.2.1.1.{number}.0" for number in range(1, 8)),
    *(f"1.3.6.1.2.1.2.2.1.{column}.{index}" for column in (2, 5, 8, 10, 16) for index in (1, 2)),
    *(f"1.3.6.1.2.1.{group}.{number}.0" for group in (5, 6, 7) for number in (1, 2, 3, 4)),
)
TABLES = ("1.3.6.1.2.1.2.2", "1.3.6.1.2.1.31.1.1", "1.3.6.1.2.1.4.20", "1.3.6.1.2.1.4.22")


async def serve(service: Service) -> None:
    """Run snmpd with communities, a user and a view of the network's part."""
    folder, rng = workspace(service), service.rng
    lines = [f"view lab included .{oid}" for oid in OIDS.values()]
    lines += [f"rocommunity {READ} default -V lab", f"rwcommunity {WRITE} default -V lab"]
    lines += [f'createUser {USER} SHA "{PASSWORD}" AES "{PASSWORD}"']
    lines += [f"rouser {USER} auth -V lab", f"sysName {service.host}"]
    lines += [f"sysDescr {' '.join(word(rng) for _ in range(rng.randint(2, 25)))}"]
    lines += [f"agentAddress udp:{service.address}:{service.ports[0]}"]
    config = folder / "snmpd.conf"
    config.write_text("\n".join(lines) + "\n", encoding="ascii")
    command = ["snmpd", "-f", "-C", "-c", str(config), "-Lo", "-r", "-p", str(folder / "pid")]
    command.append("-I-smux,mteTrigger,mteTriggerConf")
    await start_daemon(
        service,
        command,
        folder=folder,
        udp=service.ports,
        environment={"SNMP_PERSISTENT_DIR": str(folder), "MIBS": ""},
    )


def act(session: Session) -> None:
    """Manage as the variant says."""
    variant = str(session.params.get("variant", "poll"))
    with home() as folder:
        for number in session.actions():
            tool, options, what = _request(session, variant, number)
            place = f"udp:{session.peer['address']}:{session.port}"
            common = ["-m", "", "-On", "-t", "2", "-r", "2"]
            run_tool(
                session,
                [tool, *common, *_security(session, variant), *options, place, *what],
                folder,
                fine=(0, 2) if variant == "poll" else (0,),  # 2: version 1 knows no such value
                environment={"SNMP_PERSISTENT_DIR": str(folder), "SNMPCONFPATH": str(folder)},
            )


def _security(session: Session, variant: str) -> list[str]:
    """Version and credentials."""
    if variant == "secure":
        level = session.rng.choice(("authNoPriv", "authPriv", "authPriv"))
        return ["-v3", "-l", level, "-u", USER, "-a", "SHA", "-A", PASSWORD] + (
            ["-x", "AES", "-X", PASSWORD] if level == "authPriv" else []
        )
    version = (
        "-v2c" if variant in ("bulk", "table") else session.rng.choice(("-v1", "-v2c", "-v2c"))
    )
    return [version, "-c", WRITE if variant == "set" else READ]


def _request(session: Session, variant: str, number: int) -> tuple[str, list[str], list[str]]:
    """The tool, its options and what it is about."""
    rng = session.rng
    tree = OIDS[rng.choice(TREES)]
    if variant == "walk":
        return "snmpwalk", [], [tree]
    if variant == "bulk":
        return "snmpbulkwalk", [f"-Cr{rng.choice((5, 10, 25, 50))}"], [tree]
    if variant == "table":
        columns = [f"{rng.choice(TABLES)}.1.{n}" for n in range(1, rng.randint(2, 10))]
        return "snmpbulkget", ["-Cn0", f"-Cr{rng.randint(2, 20)}"], columns
    if variant == "set" and number % 2 == 0:
        text = " ".join(word(rng) for _ in range(rng.randint(1, 12)))
        return "snmpset", [], [f"1.3.6.1.2.1.1.{rng.choice((4, 6))}.0", "s", text]
    if variant == "secure" and rng.random() < 0.3:
        return "snmpbulkwalk", [], [tree]
    # A poller always asks for the same values.
    chosen = random.Random(int(session.params.get("oids_seed", 0)))
    return "snmpget", [], chosen.sample(SINGLE, int(session.params.get("oids", 3)))


if __name__ == "__main__":
    main(serve, act)
