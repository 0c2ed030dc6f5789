"""Certificates for daemons and for clients that insist on checking them.

Every host of a lab trusts one authority. Its key follows from its name, so that each program makes
the authority's certificate itself and none has to be passed around.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from common import word

if TYPE_CHECKING:
    from cryptography import x509

AUTHORITY = "Lab Authority"
_SINCE = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
_UNTIL = _SINCE + datetime.timedelta(days=7_300)


class Files(NamedTuple):
    """Where a server's certificate, its key and the authority's certificate lie, as PEM."""

    certificate: Path
    key: Path
    authority: Path


def server_name(host: str) -> str:
    """The name that a host's certificate is for."""
    return f"{host}.lab"


def authority_pem() -> bytes:
    """The authority's certificate, for a client to trust."""
    return _certificate_pem(authority()[1])


def pair(rng: random.Random, host: str, address: str) -> tuple[bytes, bytes]:
    """A new key for a host, and its certificate."""
    key, certificate = issue(rng, host, address)
    return _key_pem(key), _certificate_pem(certificate)


def write_authority(folder: Path, name: str = "authority.pem") -> Path:
    """Write the authority's certificate into a folder."""
    file = folder / name
    file.write_bytes(authority_pem())
    return file


def write_server(rng: random.Random, host: str, address: str, folder: Path) -> Files:
    """Write a new certificate for a host, its key and the authority's certificate."""
    files = Files(folder / "server.pem", folder / "server.key", write_authority(folder))
    key, certificate = pair(rng, host, address)
    files.certificate.write_bytes(certificate)
    _write_private(files.key, key)
    return files


def write_key(key: Any, file: Path) -> None:
    """Write a private key for its owner alone."""
    _write_private(file, _key_pem(key))


def _write_private(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    made: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made


def authority() -> tuple[Any, x509.Certificate]:
    """The authority's key and certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    number = int.from_bytes(hashlib.sha256(AUTHORITY.encode()).digest()[:31], "big")
    key = ec.derive_private_key(number, ec.SECP256R1())
    extensions: list[tuple[Any, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (_usage(sign_certificates=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]
    return key, _signed(AUTHORITY, key.public_key(), key, number=1, extensions=extensions)


def issue(
    rng: random.Random, host: str, address: str, number: int | None = None
) -> tuple[Any, x509.Certificate]:
    """A new key and a certificate for a host's names and address, with this serial number."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key: Any = (
        rsa.generate_private_key(65_537, 2_048)
        if number is None and rng.random() < 0.5
        else ec.generate_private_key(ec.SECP256R1())
    )
    signer, _ = authority()
    names: list[x509.GeneralName] = [
        x509.DNSName(server_name(host)),
        x509.DNSName(f"*.{host}.lab"),
        x509.DNSName(host),
        x509.IPAddress(ipaddress.ip_address(address)),
    ]
    names += [x509.DNSName(f"{word(rng)}.{host}.lab") for _ in range(rng.randrange(12))]
    extensions: list[tuple[Any, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.SubjectAlternativeName(names), False),
        (_usage(sign_certificates=False), True),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    ]
    number = number or rng.getrandbits(120) + 2
    name = server_name(host)
    return key, _signed(name, key.public_key(), signer, number=number, extensions=extensions)


def _signed(
    name: str, public_key: Any, signer: Any, *, number: int, extensions: list[tuple[Any, bool]]
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    def named(common_name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(AUTHORITY))
        .public_key(public_key)
        .serial_number(number)
        .not_valid_before(_SINCE)
        .not_valid_after(_UNTIL)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not sign_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
