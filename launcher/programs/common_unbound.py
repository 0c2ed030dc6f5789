"""unbound as the lab's resolver: a made-up zone in its configuration, behind TLS or HTTPS."""

from __future__ import annotations

import random

from common import Service, heavy, word
from common_daemon import start_daemon, workspace
from common_pem import write_server

NAMES = 400
TOP = "lab."
BLOCK_BYTES = 128  # queries are padded to a multiple of it (RFC 8467)


def names(seed: int) -> list[str]:
    """The names that exist; all clients of a service know the same."""
    rng = random.Random(seed)
    return [
        ".".join(word(rng, 2, 12) for _ in range(rng.choice((1, 1, 2, 2, 3)))) + "." + TOP
        for _ in range(NAMES)
    ]


def zone_seed(host: str) -> int:
    """What the names of a resolver follow from: its host's name."""
    return int.from_bytes(host.encode()[-6:], "big")


async def serve_unbound(service: Service, *, https: bool) -> None:
    """Run unbound on all ports with a certificate of the lab's authority."""
    folder, rng = workspace(service), service.rng
    files = write_server(rng, service.host, service.address, folder)
    config = folder / "unbound.conf"
    lines = ["server:", f'directory: "{folder}"', 'username: ""', 'chroot: ""', 'pidfile: ""']
    lines += ["do-daemonize: no", "use-syslog: no", "verbosity: 0", "num-threads: 1", 'logfile: ""']
    lines += ["access-control: 0.0.0.0/0 allow", "do-ip6: no", 'module-config: "iterator"']
    lines += [f'tls-service-key: "{files.key}"', f'tls-service-pem: "{files.certificate}"']
    lines += [f"interface: {service.address}@{port}" for port in service.ports]
    lines += [f"{'https' if https else 'tls'}-port: {port}" for port in service.ports]
    lines += [f"http-nodelay: {rng.choice(('yes', 'no'))}", "incoming-num-tcp: 200"]
    lines += [f'local-zone: "{TOP}" static', 'local-zone: "arpa." static']
    lines += ["outgoing-range: 16", "edns-buffer-size: 1232", "so-reuseport: no"]
    lines += [f'local-data: "www.{TOP} A {service.address}"']
    lines += [f"local-data: '{record}'" for record in _records(rng, service.host)]
    config.write_text("\n".join(lines) + "\n", encoding="ascii")
    command = ["unbound", "-d", "-p", "-c", str(config)]
    await start_daemon(service, command, folder=folder, tcp=service.ports)


def _records(rng: random.Random, host: str) -> list[str]:
    """Addresses for all names; mail servers, texts and more for some."""
    found = []
    for name in names(zone_seed(host)):
        ttl = rng.choice((30, 60, 300, 3_600))
        found += [
            f"{name} {ttl} A 198.18.{rng.randrange(256)}.{rng.randrange(1, 255)}"
            for _ in range(heavy(rng, 1.5, 0.7, 1, 12))
        ]
        if rng.random() < 0.6:
            found.append(f"{name} {ttl} AAAA 2001:2::{rng.getrandbits(16):x}")
        if rng.random() < 0.3:
            found.append(f"{name} {ttl} MX {rng.randrange(50)} {word(rng)}.{TOP}")
        for _ in range(rng.choice((0, 0, 1, 3))):
            text = rng.randbytes(heavy(rng, 40, 0.8, 8, 120)).hex()
            found.append(f'{name} {ttl} TXT "{text}"')
    return found


def wanted(rng: random.Random, host: str) -> tuple[str, str]:
    """A name, most of them real, and a type to ask for."""
    real = rng.random() < 0.85
    name = rng.choice(names(zone_seed(host))) if real else f"{word(rng)}.{TOP}"
    return name, rng.choice(("A", "A", "A", "AAAA", "AAAA", "MX", "TXT"))


def query(rng: random.Random, host: str, *, padded: bool) -> bytes:
    """A question, as long as all others when ``padded``."""
    from dnslib import EDNS0, DNSRecord, EDNSOption

    name, kind = wanted(rng, host)
    record = DNSRecord.question(name, kind)
    record.header.id = rng.getrandbits(16)
    if padded:
        short = len(record.pack()) + 15  # the option's own bytes: 11 of the record, 4 of padding
        record.add_ar(EDNS0(udp_len=1_232, opts=[EDNSOption(12, bytes(-short % BLOCK_BYTES))]))
    return bytes(record.pack())
