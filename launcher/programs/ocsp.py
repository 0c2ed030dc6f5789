"""Asking whether certificates are revoked: browsers, servers that staple, audits, and openssl.

The responder is openssl's, for the lab's authority.
"""

from __future__ import annotations

import base64
import http.client
import random
import urllib.parse
from pathlib import Path
from typing import Any

import common_net
from common import PeerError, Service, Session, emit, heavy, main, word
from common_daemon import start_daemon, workspace
from common_pem import authority, issue, write_authority, write_key
from common_tool import home, run_tool

FIRST, COUNT = 0x10_0000_0000, 400  # serial numbers that the authority has given
REVOKED_SHARE = 0.1
REASONS = ("keyCompromise", "superseded", "cessationOfOperation", "affiliationChanged")
KINDS = ("application/ocsp-request", "application/ocsp-response")
AGENTS = ("Mozilla/5.0", "Microsoft-CryptoAPI/10.0", "", "trustd (unknown version)")


async def serve(service: Service) -> None:
    """Run the responder on an index of certificates."""
    folder, rng = workspace(service), service.rng
    (folder / "index").write_text("".join(_entry(rng, n) for n in range(COUNT)), encoding="ascii")
    (folder / "index.attr").write_text("unique_subject = no\n", encoding="ascii")
    certificate = write_authority(folder)
    write_key(authority()[0], folder / "authority.key")
    command = ["openssl", "ocsp", "-index", str(folder / "index"), "-port", str(service.ports[0])]
    command += ["-CA", str(certificate), "-rsigner", str(certificate), "-ignore_err"]
    command += ["-rkey", str(folder / "authority.key"), "-nmin", str(rng.choice((5, 60, 1_440)))]
    command += ["-resp_key_id"] if rng.random() < 0.5 else []
    command += ["-resp_no_certs"] if rng.random() < 0.5 else []
    await start_daemon(service, command, folder=folder, tcp=service.ports)


def _entry(rng: random.Random, number: int) -> str:
    """A line of openssl's index: state, end, revocation, serial number, file, name."""
    revoked = rng.random() < REVOKED_SHARE
    when = f"250{rng.randint(1, 9)}01120000Z,{rng.choice(REASONS)}" if revoked else ""
    columns = ("R" if revoked else "V", "400101000000Z", when, f"{FIRST + number:X}", "unknown")
    return "\t".join((*columns, f"/CN={word(rng)}.lab")) + "\n"


def act(session: Session) -> None:
    """Ask as the variant says."""
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    variant = str(session.params.get("variant", "post"))
    if variant == "tool":
        with home() as folder:
            _tool(session, folder)
        return
    for _ in session.actions():
        many = variant == "audit"
        for _ in range(heavy(session.rng, 5, 0.6, 2, 20) if many else 1):
            _ask(session, get=variant == "get" or (many and session.rng.random() < 0.3))
            if many and not session.rest(0.1):
                return


def _number(rng: random.Random) -> int:
    """A serial number; now and then one that the authority never gave."""
    return FIRST + rng.randrange(COUNT) if rng.random() < 0.95 else rng.getrandbits(60) + 2


def request(rng: random.Random, *, nonce: bool) -> bytes:
    """A question about one certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509 import ocsp

    _, certificate = issue(rng, word(rng), "198.18.0.1", _number(rng))
    kind = hashes.SHA256() if rng.random() < 0.3 else hashes.SHA1()  # noqa: S303 - as they do
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, authority()[1], kind)
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(rng.randbytes(16)), critical=False)
    return builder.build().public_bytes(serialization.Encoding.DER)


def _ask(session: Session, *, get: bool) -> None:
    """One question over HTTP, as a POST or with the question in the address."""
    rng = session.rng
    question = request(rng, nonce=bool(session.params.get("nonce")))
    link = http.client.HTTPConnection(session.peer["address"], session.port, timeout=10)
    link.sock = common_net.dial(session, session.port)
    headers = {"Host": "ocsp.lab", "Accept": "*/*"}
    agent = AGENTS[int(session.params.get("agent", 0)) % len(AGENTS)]
    headers |= {"User-Agent": agent} if agent else {}
    try:
        if get:
            path = urllib.parse.quote(base64.b64encode(question).decode(), safe="")
            link.request("GET", f"/{path}", headers=headers)
        else:
            link.request("POST", "/", question, headers | {"Content-Type": KINDS[0]})
        with link.getresponse() as reply:
            emit("answer", **_judged(reply.status, reply.read()))
    except http.client.HTTPException as error:
        raise PeerError(repr(error)) from error
    finally:
        link.close()


def _judged(status: int, body: bytes) -> dict[str, Any]:
    from cryptography.x509 import ocsp

    if status != 200:
        raise PeerError(f"status {status}")
    answer = ocsp.load_der_ocsp_response(body)
    if answer.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise PeerError(str(answer.response_status))
    return {"bytes": len(body), "certificate": answer.certificate_status.name}


def _tool(session: Session, folder: Path) -> None:
    """openssl's client, about one or several certificates at once."""
    rng, certificate = session.rng, write_authority(folder)
    for _ in session.actions():
        command = ["openssl", "ocsp", "-url", f"http://{session.peer['address']}:{session.port}/"]
        command += ["-issuer", str(certificate), "-CAfile", str(certificate)]
        command += ["-nonce" if session.params.get("nonce") else "-no_nonce"]
        for _ in range(heavy(rng, 1.5, 0.8, 1, 12)):
            command += ["-serial", f"0x{_number(rng):X}"]
        run_tool(session, command, folder)


if __name__ == "__main__":
    main(serve, act)
