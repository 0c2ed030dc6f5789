"""What the lab programs encode and decode themselves, held against others and against itself."""

from __future__ import annotations

import ipaddress
import random
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from dnslib import DNSRecord
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.coap import CoAP
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.ntp import NTP

import launcher

PROGRAMS = Path(launcher.__file__).parent / "programs"


@pytest.fixture(scope="module", autouse=True)
def _programs_are_found() -> Iterator[None]:
    sys.path.insert(0, str(PROGRAMS))
    yield
    sys.path.remove(str(PROGRAMS))


def program(name: str) -> ModuleType:
    return import_module(name)


@given(st.binary(max_size=300), st.integers(1, 7))
def test_telnet_text_comes_through_however_it_is_cut(text: bytes, step: int) -> None:
    telnet = program("common_telnet")
    sent = telnet.negotiation(telnet.WILL, telnet.ECHO) + text.replace(b"\xff", b"\xff\xff")
    sent += bytes((telnet.IAC, telnet.SB, telnet.WINDOW, 0, 80, 0, 24, telnet.IAC, telnet.SE))
    parser, seen, asked = telnet.Parser(), b"", []
    for place in range(0, len(sent), step):
        some, requests = parser.feed(sent[place : place + step])
        seen += some
        asked += requests
    assert seen == text
    assert asked == [(telnet.WILL, telnet.ECHO)]


@given(st.lists(st.integers(0, 9_000), min_size=1, max_size=6))
def test_game_messages_of_any_size_arrive_whole(sizes: list[int]) -> None:
    quake = program("common_quake")
    client, server = quake.Channel(port=7), quake.Channel()
    for size in sizes:
        packets = client.packets(bytes(size))
        assert max(map(len, packets)) <= quake.FRAGMENT_BYTES + 10
        assert [server.take(packet, from_client=True) for packet in packets] == [
            *[None] * (len(packets) - 1),
            size,
        ]
    assert (server.received, server.lost) == (len(sizes), 0)


def test_a_lost_game_message_is_counted_and_a_late_one_ignored() -> None:
    quake = program("common_quake")
    sender, receiver = quake.Channel(), quake.Channel()
    first, second, third = (sender.packets(b"x")[0] for _ in range(3))
    assert receiver.take(first, from_client=False) == 1
    assert receiver.take(third, from_client=False) == 1
    assert receiver.take(second, from_client=False) is None
    assert receiver.lost == 1


def test_game_messages_outside_a_game_are_read_back() -> None:
    quake = program("common_quake")
    packet = quake.out_of_band("statusResponse", quake.info(mapname="q3dm1"), '1 20 "me"')
    assert quake.parse_out_of_band(packet) == ("statusResponse", ["\\mapname\\q3dm1", '1 20 "me"'])
    assert quake.parse_info('"\\a\\1\\b\\2"') == {"a": "1", "b": "2"}
    assert quake.parse_out_of_band(b"\1\0\0\0") is None


@given(
    path=st.text("abcdefghij/", max_size=40),
    token=st.binary(max_size=8),
    payload=st.binary(max_size=600),
    number=st.integers(0, 0xFFFF),
)
def test_coap_messages_are_what_others_read(
    path: str, token: bytes, payload: bytes, number: int
) -> None:
    coap = program("coap")
    options = coap.path_options(path, binary=bool(payload))
    packet = coap.encode(3, number, token, options, payload, kind=coap.CONFIRMABLE)
    read = CoAP(packet)
    parts = [value for name, value in read.options if name == "Uri-Path"]
    assert parts == [part.encode() for part in path.split("/") if part]
    assert (read.code, read.msg_id, read.token) == (3, number, token)
    assert bytes(read.payload) == payload
    assert coap.decode(packet) == (coap.CONFIRMABLE, 3, number, token)


def test_a_dhcp_message_is_what_others_read_and_reads_theirs() -> None:
    dhcp = program("common_dhcp")
    mine = dhcp.Message(
        77,
        b"\2abcde",
        broadcast=True,
        relay=ipaddress.IPv4Address("198.18.0.9"),
        options={dhcp.KIND: b"\1", dhcp.HOST: b"box", dhcp.LIST: bytes((1, 3, 6))},
    )
    read = BOOTP(mine.pack())
    assert (read.xid, read.giaddr, read.chaddr[:6]) == (77, "198.18.0.9", b"\2abcde")
    assert ("message-type", 1) in read[DHCP].options
    assert ("hostname", b"box") in read[DHCP].options
    theirs = BOOTP(op=2, xid=9, yiaddr="198.18.0.7", chaddr=b"\2abcde") / DHCP(
        options=[("message-type", "offer"), ("lease_time", 60), "end"]
    )
    back = dhcp.Message.parse(bytes(theirs))
    assert (back.kind, back.number, str(back.yours)) == (dhcp.OFFER, 9, "198.18.0.7")
    assert dhcp.Message.parse(mine.pack()) == mine


@given(st.binary(max_size=400))
def test_what_is_no_dhcp_message_is_refused(data: bytes) -> None:
    dhcp, common = program("common_dhcp"), program("common")
    with pytest.raises(common.PeerError):
        dhcp.Message.parse(data)


def test_a_multicast_question_is_what_others_read() -> None:
    mdns = program("mdns")
    packet = mdns.question([("_ipp._tcp.local", mdns.PTR), ("box.local", mdns.A)], 5, 0)
    read = DNSRecord.parse(packet)
    assert [(str(q.qname), q.qtype) for q in read.questions] == [
        ("_ipp._tcp.local.", mdns.PTR),
        ("box.local.", mdns.A),
    ]


def test_padded_questions_have_one_length_and_the_name_that_was_drawn() -> None:
    unbound, rng = program("common_unbound"), random.Random(1)
    sizes = {len(unbound.query(rng, "resolver", padded=True)) for _ in range(50)}
    assert sizes == {unbound.BLOCK_BYTES}
    names = set(unbound.names(unbound.zone_seed("resolver")))
    asked = [DNSRecord.parse(unbound.query(rng, "resolver", padded=False)) for _ in range(200)]
    known = sum(str(record.q.qname) in names for record in asked)
    assert 140 <= known < 200


def test_simple_time_questions_are_what_others_read() -> None:
    ntp = program("ntp")
    for seed in range(40):
        packet, stamp = ntp.question(random.Random(seed))
        read = NTP(packet)
        assert read.mode == 3
        assert 1 <= read.version <= 4
        assert packet[-8:] == stamp


def test_every_program_knows_the_same_authority(tmp_path: Path) -> None:
    pem = program("common_pem")
    files = pem.write_server(random.Random(3), "box", "198.18.0.5", tmp_path)
    _, known = pem.authority()
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    certificate.verify_directly_issued_by(known)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"box", "box.lab"} <= set(names.get_values_for_type(x509.DNSName))
    assert files.key.stat().st_mode & 0o777 == 0o600


def test_statements_stand_by_themselves_when_typed() -> None:
    sql, rng = program("common_sql"), random.Random(2)
    for _ in range(300):
        text = sql.typed(rng)
        assert text.endswith(";")
        assert text.count("'") % 2 == 0
        assert "%s" not in text
