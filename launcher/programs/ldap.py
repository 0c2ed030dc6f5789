"""A directory over LDAP: logins, address books, synchronisation and changes, plain and with TLS.

The server is OpenLDAP's slapd with an organisation made up from the seed.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common_net
from common import PeerError, Service, Session, begun, emit, heavy, main, word
from common_daemon import start_daemon, workspace
from common_pem import write_authority, write_server
from common_tool import home, run_tool

BASE = "dc=lab"
ADMIN, PASSWORD = f"cn=admin,{BASE}", "lab-password"
UNITS = ("people", "groups", "hosts")
PEOPLE = 300
PERSON = ("cn", "sn", "mail", "telephoneNumber", "uid", "title", "description", "userPassword")
SCHEMAS = Path("/etc/ldap/schema")
MODULES = Path("/usr/lib/ldap")


async def serve(service: Service) -> None:
    """Load the organisation and run slapd on it."""
    folder = workspace(service)
    files = write_server(service.rng, service.host, service.address, folder)
    (folder / "data").mkdir()
    config = folder / "slapd.conf"
    lines = [f"include {SCHEMAS}/{name}.schema" for name in ("core", "cosine", "inetorgperson")]
    lines += [f"modulepath {MODULES}", "moduleload back_mdb", f"pidfile {folder}/pid"]
    lines += [f"TLSCertificateFile {files.certificate}", f"TLSCertificateKeyFile {files.key}"]
    lines += [f"TLSCACertificateFile {files.authority}", "database mdb", "maxsize 33554432"]
    lines += [f"suffix {BASE}", f"rootdn {ADMIN}", f"rootpw {PASSWORD}", "dbnosync"]
    lines += [
        f"directory {folder}/data",
        "index objectClass eq",
        "index uid,cn,sn,mail eq,sub",
        "sizelimit 2000",
    ]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    entries = folder / "first.ldif"
    entries.write_text("\n".join(_organisation(service.rng)), encoding="utf-8")
    await _load(config, entries, folder)
    plain, *secure = service.ports
    urls = [f"ldap://{service.address}:{plain}/"]
    urls += [f"ldaps://{service.address}:{port}/" for port in secure]
    command = ["slapd", "-f", str(config), "-h", " ".join(urls), "-d", "none"]
    await start_daemon(service, command, folder=folder, tcp=service.ports)


async def _load(config: Path, entries: Path, folder: Path) -> None:
    import asyncio

    process = await asyncio.create_subprocess_exec(
        *("slapadd", "-q", "-f", str(config), "-l", str(entries)), cwd=folder
    )
    if await process.wait():
        raise PeerError(f"slapadd ended with code {process.returncode}")


def _organisation(rng: random.Random) -> Iterator[str]:
    """Entries of the directory, as LDIF."""
    yield f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Lab\ndc: lab\n"
    for unit in UNITS:
        yield f"dn: ou={unit},{BASE}\nobjectClass: organizationalUnit\nou: {unit}\n"
    for number in range(PEOPLE):
        yield from _person(rng, number)
    for number in range(20):
        members = rng.sample(range(PEOPLE), heavy(rng, 8, 0.9, 1, 150))
        yield f"dn: cn=group{number},ou=groups,{BASE}\nobjectClass: groupOfNames"
        yield "\n".join(f"member: {_who(member)}" for member in members) + "\n"


def _person(rng: random.Random, number: int) -> Iterator[str]:
    first, last = word(rng).title(), word(rng).title()
    yield f"dn: {_who(number)}\nobjectClass: inetOrgPerson\nuid: user{number}"
    yield f"cn: {first} {last}\nsn: {last}\nmail: {first}.{last}@lab\nuserPassword: {PASSWORD}"
    yield f"telephoneNumber: +{rng.randrange(10**10, 10**11)}\ntitle: {word(rng)}"
    yield f"description: {' '.join(word(rng) for _ in range(heavy(rng, 6, 1.0, 1, 120)))}\n"


def _who(number: int) -> str:
    return f"uid=user{number},ou=people,{BASE}"


def act(session: Session) -> None:
    """Use the directory as the variant says."""
    variant = str(session.params.get("variant", "login"))
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    with home() as folder:
        if variant.startswith("tools"):
            _tools(session, folder, tls=variant == "tools-tls")
        elif variant == "login":
            _logins(session, folder)
        else:
            secure = variant == "address-book-tls"
            with _bound(session, folder, ADMIN if variant == "change" else None, secure) as link:
                if variant == "change":
                    _changes(session, link)
                elif variant == "synchronise":
                    _synchronise(session, link)
                else:
                    _address_book(session, link)


@contextlib.contextmanager
def _bound(session: Session, folder: Path, who: str | None, secure: bool) -> Iterator[Any]:
    import ssl

    import ldap3
    from ldap3.core.exceptions import LDAPException

    checks = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(write_authority(folder)))
    ports = session.peer["ports"]
    implicit = secure and len(ports) > 1 and session.rng.random() < 0.5
    server = ldap3.Server(
        session.peer["address"],
        port=ports[1] if implicit else ports[0],
        use_ssl=implicit,
        tls=checks,
        get_info=session.rng.choice((ldap3.NONE, ldap3.DSA, ldap3.SCHEMA, ldap3.ALL)),
        connect_timeout=10,
    )
    try:
        begun()
        link = ldap3.Connection(
            server, user=who, password=who and PASSWORD, raise_exceptions=False, receive_timeout=10
        )
        link.open()
        if secure and not implicit:
            link.start_tls()
        emit("bind", user=who, ok=link.bind())
        try:
            yield link
        finally:
            link.unbind()
    except LDAPException as error:
        raise PeerError(f"{type(error).__name__}: {error}") from error


def _logins(session: Session, folder: Path) -> None:
    """A service that checks people's passwords: look the name up, then bind as it."""
    for _ in session.actions():
        number = session.rng.randrange(PEOPLE)
        secure = session.rng.random() < 0.3
        with _bound(session, folder, None, secure) as link:
            link.search(BASE, f"(uid=user{number})", attributes=["cn", "mail"])
            wrong = session.rng.random() < 0.08
            link.rebind(user=_who(number), password="wrong" if wrong else PASSWORD)
            emit("login", user=number, ok=link.result["result"] == 0)


def _address_book(session: Session, link: Any) -> None:
    """A mail program that completes names as they are typed."""
    rng = session.rng
    for _ in session.actions():
        name = word(rng, 1, 4)
        for end in range(1, len(name) + 1):
            start = name[:end]
            link.search(
                f"ou=people,{BASE}",
                f"(|(cn={start}*)(mail={start}*)(sn={start}*))",
                attributes=list(PERSON[: rng.randint(2, 5)]),
                size_limit=rng.choice((10, 20, 100)),
            )
            emit("search", typed=start, entries=len(link.entries))
            if not session.rest(0.2):
                return


def _synchronise(session: Session, link: Any) -> None:
    """Everybody, page after page, as replicas and phones fetch them."""
    for _ in session.actions():
        size = session.rng.choice((25, 50, 100, 200))
        found = link.extend.standard.paged_search(
            f"ou={session.rng.choice(UNITS)},{BASE}",
            "(objectClass=*)",
            attributes=["*"],
            paged_size=size,
            generator=True,
        )
        emit("page", size=size, entries=sum(1 for _ in found))


def _changes(session: Session, link: Any) -> None:
    """An administrator who adds, changes, compares and deletes."""
    import ldap3

    rng = session.rng
    for _ in session.actions():
        name = f"cn={word(rng)}{rng.getrandbits(32):x},ou=hosts,{BASE}"
        link.add(name, "device", {"description": word(rng, 5, 200)})
        for _ in range(rng.randrange(4)):
            text = " ".join(word(rng) for _ in range(heavy(rng, 5, 1, 1, 100)))
            link.modify(name, {"description": [(ldap3.MODIFY_REPLACE, [text])]})
        link.compare(name, "objectClass", "device")
        if rng.random() < 0.6:
            link.delete(name)
        emit("change", entry=name, result=link.result["description"])


def _tools(session: Session, folder: Path, *, tls: bool) -> None:
    """OpenLDAP's own tools in a script."""
    rng = session.rng
    plain, secure = session.peer["ports"][0], session.peer["ports"][-1]
    scheme, port = ("ldaps", secure) if tls else ("ldap", plain)
    place = ["-x", "-H", f"{scheme}://{session.peer['address']}:{port}/"]
    place += ["-D", ADMIN, "-w", PASSWORD] if rng.random() < 0.5 else []
    environment = {"LDAPTLS_CACERT": str(write_authority(folder))}
    for _ in session.actions():
        command = ["ldapsearch", *place, "-LLL", "-b", BASE]
        command += [f"(uid=user{rng.randrange(PEOPLE)})", *rng.sample(PERSON, rng.randint(0, 4))]
        if rng.random() < 0.3:
            command = ["ldapsearch", *place, "-b", f"ou={rng.choice(UNITS)},{BASE}", "-z", "100"]
        if rng.random() < 0.2:
            command = ["ldapwhoami", *place]
        # 4: more entries than wanted
        run_tool(session, command, folder, fine=(0, 4), environment=environment)


if __name__ == "__main__":
    main(serve, act)
