"""TLS for the lab programs: many certificates behind one port, many kinds of clients.

A server with a single certificate would give its class away by that certificate's size, so there
are two dozen, with different keys, chains and names; the name a client asks for picks one.
"""

from __future__ import annotations

import contextlib
import datetime
import random
import ssl
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import heavy, word

if TYPE_CHECKING:
    from cryptography import x509

FARM = 3  # servers, and
CERTIFICATES = 8  # certificates of each
CIPHERS = (
    "DEFAULT",
    "ECDHE+AESGCM",
    "ECDHE+AESGCM:ECDHE+CHACHA20",
    "ECDHE+CHACHA20:ECDHE+AESGCM:DHE+AESGCM",
    "HIGH:!aNULL:!PSK:!SRP",
    "ECDHE:!SHA1",
)
CURVES = ("", "", "", "prime256v1", "secp384r1", "secp521r1")
Key = Any  # one of cryptography's private key classes
_NOW = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


def client_context(rng: random.Random, alpn: list[str] | None = None) -> ssl.SSLContext:
    """A client of some sort: its own cipher list, key exchange group and extensions."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(rng.choice(CIPHERS))
    if rng.random() < 0.5:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    if rng.random() < 0.4:
        context.options |= ssl.OP_NO_TICKET
    curve = rng.choice(CURVES)
    if curve:
        context.set_ecdh_curve(curve)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def server_name(rng: random.Random, host: str) -> str:
    """A name of the lab for the client to ask for; it picks the certificate."""
    labels = [word(rng, 2, 14) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))]
    return ".".join([*labels, host, "lab"])


def server_contexts(
    rng: random.Random, host: str, alpn: list[str] | None = None
) -> list[ssl.SSLContext]:
    """Contexts of a farm of servers behind one name: they differ in their session tickets."""
    rsa_key = _rsa_key() if rng.random() < 0.7 else None
    return [_front(rng, host, alpn, tickets, rsa_key) for tickets in rng.sample(range(5), FARM)]


def certificate_chain(rng: random.Random, host: str) -> bytes:
    """A private key and its certificate, with none to two above it, as PEM, for a daemon."""
    return _chain(rng, host, _rsa_key() if rng.random() < 0.2 else None)


def _front(
    rng: random.Random, host: str, alpn: list[str] | None, tickets: int, rsa_key: Key | None
) -> ssl.SSLContext:
    """One server's context: TLS 1.3 only, a certificate per group of names."""
    contexts = [_context(rng, host, alpn, tickets, rsa_key) for _ in range(CERTIFICATES)]

    def pick(connection: Any, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = contexts[zlib.crc32((name or "").encode()) % len(contexts)]

    contexts[0].sni_callback = pick
    return contexts[0]


def _context(
    rng: random.Random, host: str, alpn: list[str] | None, tickets: int, rsa_key: Key | None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = tickets
    if alpn:
        context.set_alpn_protocols(alpn)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chain.pem"
        file.write_bytes(_chain(rng, host, rsa_key if rng.random() < 0.3 else None))
        context.load_cert_chain(file)
    return context


def _chain(rng: random.Random, host: str, rsa_key: Key | None) -> bytes:
    """A private key and its certificate, with none to two certificates above it, as PEM."""
    from cryptography.hazmat.primitives import serialization

    length = rng.choice((1, 2, 2, 2, 3, 3))
    keys = [_ec_key(rng) for _ in range(length)]
    keys[0] = rsa_key or keys[0]
    names = [
        _name(rng, f"{word(rng)}.{host}.lab" if level == 0 else word(rng).title())
        for level in range(length)
    ]
    pem: bytes = keys[0].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for level in range(length):
        above = min(level + 1, length - 1)
        certificate = _certificate(
            rng,
            subject=names[level],
            issuer=names[above],
            key=keys[level],
            signer=keys[above],
            host=host if level == 0 else None,
        )
        pem += certificate.public_bytes(serialization.Encoding.PEM)
    return pem


def _ec_key(rng: random.Random) -> Key:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP384R1() if rng.random() < 0.3 else ec.SECP256R1())


def _rsa_key() -> Key:
    """One for the whole server: it takes up to a fifth of a second to make."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65_537, 2_048)


def _name(rng: random.Random, common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    more = (NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.LOCALITY_NAME)
    parts += [
        x509.NameAttribute(oid, " ".join(word(rng).title() for _ in range(3)))
        for oid in more
        if rng.random() < 0.5
    ]
    return x509.Name(parts)


def _certificate(
    rng: random.Random,
    *,
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    signer: Key,
    host: str | None,
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(rng.getrandbits(rng.choice((64, 128, 152))) + 1)
        .not_valid_before(_NOW)
        .not_valid_after(_NOW + datetime.timedelta(days=rng.choice((3_650, 7_300))))
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host is not None:
        names = [x509.DNSName(f"{word(rng)}.{host}.lab") for _ in range(heavy(rng, 3, 1, 1, 60))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        with contextlib.suppress(ValueError):
            # Stands where public certificates carry their transparency time stamps.
            stamps = x509.UnrecognizedExtension(
                x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"),
                rng.randbytes(rng.choice((1, 119, 120, 240, 242))),
            )
            builder = builder.add_extension(stamps, critical=False)
    return builder.sign(signer, hashes.SHA256())
