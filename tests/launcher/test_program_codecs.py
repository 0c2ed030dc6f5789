"""What lab programs write and read themselves: torrents, RTP, SIP, RTSP, manifests, sites."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import random
import struct
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import launcher

PROGRAMS = Path(launcher.__file__).parent / "programs"
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Imports a module of the programs, which find each other by their folder."""
    monkeypatch.syspath_prepend(PROGRAMS)
    return importlib.import_module


def test_bencoding_is_that_of_the_specification(load: Load) -> None:
    bencode = load("common_torrent").bencode
    assert (
        bencode({"foo": 42, "bar": ["spam", -3, b"\xff"]}) == b"d3:barl4:spami-3e1:\xffe3:fooi42ee"
    )


def test_a_torrent_names_its_files_and_hashes_its_pieces(load: Load, tmp_path: Path) -> None:
    folder = tmp_path / "thing"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_bytes(b"x" * 20_000)
    (folder / "deep" / "b").write_bytes(b"y" * 5)
    torrent, digest = load("common_torrent").make_torrent(
        folder, tracker="http://t/announce", piece_bytes=16_384
    )
    content = b"x" * 20_000 + b"y" * 5
    pieces = [content[:16_384], content[16_384:]]
    assert b"".join(hashlib.sha1(piece).digest() for piece in pieces) in torrent  # noqa: S324
    assert b"4:pathl4:deep1:bee" in torrent
    info = torrent[torrent.index(b"4:info") + 6 : -1]
    assert hashlib.sha1(info).digest() == digest  # noqa: S324


def test_a_tracker_names_the_others_until_they_leave(load: Load) -> None:
    tracker = load("common_torrent").Tracker(random.Random(1), ("198.18.0.9", 6_881))
    digest = bytes(range(20))
    tracker.add("thing", b"", digest)
    said = "info_hash=" + "".join(f"%{byte:02x}" for byte in digest)

    def announce(address: str, more: str = "") -> bytes:
        reply, _ = tracker.answer("/announce", f"{said}&port=1000&compact=1{more}", address)
        return bytes(reply)

    first, second = b"\xc6\x12\x00\x01\x03\xe8", b"\xc6\x12\x00\x02\x03\xe8"
    seeder = b"\xc6\x12\x00\x09\x1a\xe1"
    assert announce("198.18.0.1").endswith(b"5:peers6:" + seeder + b"e")
    reply = announce("198.18.0.2")
    assert first in reply
    assert second not in reply
    announce("198.18.0.1", "&event=stopped")
    assert first not in announce("198.18.0.2")
    assert b"failure reason" in tracker.answer("/announce", "info_hash=x&port=1", "198.18.0.1")[0]


def test_rtp_counts_up_and_sends_as_its_codec_does(load: Load) -> None:
    rtp = load("common_rtp")
    for codec in rtp.CODECS.values():
        sender = rtp.Sender(random.Random(2), codec)
        packets = [sender.packet() for _ in range(50)]
        heads = [rtp.parse(packet) for packet in packets]
        assert {head[0] for head in heads} == {codec.payload_type}
        steps = {(b[1] - a[1]) % 65_536 for a, b in pairwise(heads)}
        ticks = {(b[2] - a[2]) % (1 << 32) for a, b in pairwise(heads)}
        assert (steps, ticks) == ({1}, {codec.ticks})
        sizes = {len(packet) - 12 for packet in packets}
        assert codec.low_bytes <= min(sizes) <= max(sizes) <= codec.high_bytes
        assert not any(rtp.is_control(packet) for packet in packets)
        assert rtp.is_control(sender.report(1_700_000_000.5))


def test_suppressed_silence_is_a_pause_that_begins_with_comfort_noise(load: Load) -> None:
    rtp = load("common_rtp")
    sender = rtp.Sender(random.Random(3), rtp.CODECS["pcmu"], silence=True)
    packets = [sender.packet() for _ in range(3_000)]
    sent = [packet for packet in packets if packet is not None]
    kinds = [rtp.parse(packet)[0] for packet in sent]
    assert 500 < len(sent) < 2_500
    assert kinds.count(rtp.QUIET_TYPE) > 3
    assert sender.stamp != rtp.parse(sent[0])[2]


def test_what_is_no_rtp_is_refused(load: Load) -> None:
    with pytest.raises(load("common").PeerError):
        load("common_rtp").parse(b"GET / HTTP/1.1")


@given(body=st.text("abc\r\n=", max_size=60), number=st.integers(1, 9_999))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_sip_message_is_read_as_it_was_written(load: Load, body: str, number: int) -> None:
    sip = load("common_sip")
    headers = {"Call-ID": "x1", "CSeq": f"{number} INVITE", "To": "<sip:a@b>"}
    read = sip.parse(bytes(sip.Message("INVITE", "sip:a@b", headers=headers, body=body)))
    assert (read.method, read.uri, read.call, read.about) == ("INVITE", "sip:a@b", "x1", "INVITE")
    assert read.body == body
    reply = sip.parse(bytes(read.reply(200, tag="t")))
    assert (reply.status, reply.headers["To"]) == (200, "<sip:a@b>;tag=t")


def test_every_codec_is_found_in_its_own_description(load: Load) -> None:
    sip, codecs = load("common_sip"), load("common_rtp").CODECS
    for codec in codecs.values():
        assert sip.described(sip.describe("198.18.0.1", 4_000, codec, 7)) == (4_000, codec)
    with pytest.raises(load("common").PeerError):
        sip.described("v=0\r\n")


def test_rtsp_messages_and_blocks_are_read_from_one_stream(load: Load) -> None:
    rtsp = load("common_rtsp")
    asked = rtsp.Message("PLAY rtsp://a/b RTSP/1.0", {"Cseq": "4"}, b"body")
    block = rtsp.Message(body=b"\x80\x21data", channel=2)

    async def read() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(bytes(asked) + bytes(block) + b"HTTP/1.1 200 OK\r\n\r\n")
        first, second = await rtsp.read(reader), await rtsp.read(reader)
        assert (first.method, first.headers["Cseq"], first.body) == ("PLAY", "4", b"body")
        assert (second.channel, second.body) == (2, block.body)
        with pytest.raises(load("common").PeerError):
            await rtsp.read(reader)

    asyncio.run(read())


def cell(clock: int | None) -> bytes:
    """A cell of a transport stream, with a clock of 90 kHz or without one."""
    if clock is None:
        return b"\x47\x01\x00\x10".ljust(188, b"\xaa")
    field = (clock >> 1).to_bytes(4, "big") + bytes([(clock & 1) << 7, 0])
    return (b"\x47\x01\x00\x30\x07\x10" + field).ljust(188, b"\xbb")


def test_a_transport_stream_is_cut_at_its_own_clock(load: Load) -> None:
    clocks = [9_000, None, None, 13_500, *[None] * 9, 18_001]
    stream = b"".join(cell(clock) for clock in clocks)
    cut = list(load("common_rtsp").cut(stream))
    assert b"".join(block for _, block in cut) == stream
    assert [at_s for at_s, _ in cut] == pytest.approx([0.0, 0.05, 0.05, 9_001 / 90_000])
    assert max(len(block) for _, block in cut) == 7 * 188


MANIFEST = """<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>
<AdaptationSet>
<Representation id="1" bandwidth="900000">
<SegmentTemplate timescale="1000" initialization="i$RepresentationID$.m4s"
 media="c$RepresentationID$-$Number%05d$.m4s" startNumber="3">
<SegmentTimeline><S t="0" d="2000" r="1"/><S d="1000"/></SegmentTimeline></SegmentTemplate>
</Representation>
<Representation id="0" bandwidth="150000"><BaseURL>one.mp4</BaseURL>
<SegmentList timescale="1000" duration="2500"><Initialization range="0-99"/>
<SegmentURL mediaRange="100-199"/></SegmentList></Representation>
</AdaptationSet></Period></MPD>"""


def test_a_manifest_tells_where_segments_are(load: Load) -> None:
    dash = load("common_dash")
    ((slow, fast),) = dash.read_manifest(MANIFEST)
    assert [part.path for part in fast.segments] == [
        *("i1.m4s", "c1-00003.m4s", "c1-00004.m4s", "c1-00005.m4s")
    ]
    assert (fast.kbit, fast.segment_s) == (900.0, pytest.approx(5 / 3))
    assert slow.segments == (dash.Segment("one.mp4", "0-99"), dash.Segment("one.mp4", "100-199"))
    assert slow.segment_s == 2.5
    with pytest.raises(load("common").PeerError):
        dash.read_manifest("<html>")


def test_a_site_links_to_what_it_has_and_is_the_same_for_a_seed(load: Load, tmp_path: Path) -> None:
    site = load("common_site")
    for name in ("one", "two"):
        site.build_site(random.Random(5), tmp_path / name)
    first = tmp_path / "one"
    page = (first / "index.html").read_text()
    links = site.LINK.findall(page) + site.OBJECT.findall(page) + site.FILE.findall(page)
    assert site.LINK.search(page)
    assert all((first / link[1:]).is_file() for link in links)
    paths = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    pages = [path for path in paths if path.suffix != ".bin"]  # whose noise is of no seed
    assert len(pages) > 40
    assert all((first / p).read_bytes() == (tmp_path / "two" / p).read_bytes() for p in pages)


def test_a_picture_is_a_valid_png(load: Load) -> None:
    data = load("common_site").picture(random.Random(6), 10_000)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, kinds = 8, []
    while at < len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        checked = data[at + 4 : at + 8 + size]
        assert zlib.crc32(checked) == struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0]
        kinds.append(checked[:4])
        at += 12 + size
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    assert 8_000 < len(data) < 12_000


def test_an_edit_changes_a_planted_file(load: Load, tmp_path: Path) -> None:
    tree, rng = load("common_tree"), random.Random(7)
    paths = tree.plant(rng, tmp_path, files=12, median_bytes=2_000, budget_bytes=100_000)
    assert 0 < sum(path.stat().st_size for path in set(paths)) <= 150_000
    for path in set(paths):
        before = path.read_bytes()
        tree.edit(rng, path)
        assert path.read_bytes() != before


def test_the_authority_signs_what_its_clients_trust(load: Load) -> None:
    from cryptography import x509

    made = load("common_pem")
    _, chain = made.pair(random.Random(8), "shop", "198.18.0.2")
    server = x509.load_pem_x509_certificate(chain)
    server.verify_directly_issued_by(x509.load_pem_x509_certificate(made.authority_pem()))
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "*.shop.lab" in names.get_values_for_type(x509.DNSName)


TRACE = """\
SENT (0.0868s) TCP 198.18.0.1:63755 > 198.18.0.2:22 S ttl=47 id=688 iplen=44  seq=2 win=1024
RCVD (0.0868s) TCP 198.18.0.2:22 > 198.18.0.1:63755 RA ttl=64 id=0 iplen=40  seq=0 win=0
SENT (1.0868s) TCP 198.18.0.1:63755 > 198.18.0.2:22 S ttl=47 id=689 iplen=44  seq=2 win=1024
SENT (0.4264s) UDP 198.18.0.1:56991 > 198.18.0.2:161 ttl=40 id=22907 iplen=88
SENT (0.0020s) ICMP [198.18.0.1 > 198.18.0.3 Echo request (type=8/code=0) id=1 seq=0] IP [ttl=42]
CONN (0.0440s) TCP localhost > 198.18.0.2:80 => Operation now in progress
"""


def test_nmap_says_what_it_sent(load: Load) -> None:
    assert list(load("common_nmap").probes(TRACE)) == [
        ("icmp", ("198.18.0.1", 0), ("198.18.0.3", 0)),
        ("tcp", ("198.18.0.1", 63_755), ("198.18.0.2", 22)),
        ("udp", ("198.18.0.1", 56_991), ("198.18.0.2", 161)),
    ]


def test_ice_tries_each_address_with_each_of_its_version(load: Load) -> None:
    line = "a=candidate:1 1 udp 2130706431 {} {} typ host\r\n"
    ours = line.format("198.18.0.1", 1) + line.format("2001:2::1", 2)
    theirs = line.format("198.18.0.2", 3) + line.format("198.18.0.2", 4) * 2
    assert load("common_rtc").paths(ours, theirs) == [
        (("198.18.0.1", 1), ("198.18.0.2", 3)),
        (("198.18.0.1", 1), ("198.18.0.2", 4)),
    ]
