"""An authority for clients that insist on one: both sides make it from the same number."""

from __future__ import annotations

import datetime
import random
from typing import TYPE_CHECKING

from common import word

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

NUMBER = 0x6C6162  # protects nothing: the lab has no secrets
_BEGIN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
_DAYS = datetime.timedelta(days=7_300)


def authority() -> bytes:
    """The authority's certificate as PEM, for a client to trust."""
    from cryptography.hazmat.primitives import serialization

    key = _authority_key()
    made = _certificate(_name("Lab Authority"), key.public_key(), 1, key, names=())
    return made.public_bytes(serialization.Encoding.PEM)


def trusted_pair(rng: random.Random, host: str) -> tuple[bytes, bytes]:
    """A server's private key and its certificate, good for any ``WORD.HOST.lab``, as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    names = [f"*.{host}.lab", *(f"{word(rng)}.{host}.lab" for _ in range(rng.randint(0, 20)))]
    subject = _name(f"{word(rng)}.{host}.lab")
    made = _certificate(
        subject, key.public_key(), rng.getrandbits(100) + 2, _authority_key(), names=names
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, made.public_bytes(serialization.Encoding.PEM)


def _authority_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.derive_private_key(NUMBER, ec.SECP256R1())


def _name(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name,
    public_key: object,
    number: int,
    signer: EllipticCurvePrivateKey,
    *,
    names: list[str] | tuple[str, ...],
) -> x509.Certificate:
    """Signed by the authority; without names it is the authority's own."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_name("Lab Authority"))
        .public_key(public_key)  # type: ignore[arg-type]  # the key's type differs by release
        .serial_number(number)
        .not_valid_before(_BEGIN)
        .not_valid_after(_BEGIN + _DAYS)
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(signer, hashes.SHA256())
