"""Captures looked at a second time: what they say of their packets, and that live is as offline."""

from __future__ import annotations

import pyarrow as pa

from flowmeter import MeterConfig, flows
from flowmeter.output.digest import RowDigest
from flowmeter.witness import witness
from tests.flowmeter.conftest import SERVER, Packet, down, ethernet, ip_packet, pcap_bytes, tcp, up


def looked_at(lab, packets, *, mtu=1500):
    path = lab.file(pcap_bytes(packets), "network.pcap")
    found = witness([path], config=MeterConfig(), run_id="r", network="n", mtu=mtu)
    with flows(path, run_id="r", network="n") as stream:
        table = RowDigest()
        for batch in stream:
            table.add(batch)
    assert found.rows.columns() == table.columns()
    assert found.rows.count == table.count
    return found


def conversation(begin_s=0.0, sport=40000):
    return [
        up(begin_s, tcp("S", 10, sport=sport)),
        down(begin_s + 0.01, tcp("SA", 20, 11, sport=sport)),
        up(begin_s + 0.02, tcp("A", 11, 21, sport=sport)),
        up(begin_s + 0.03, tcp("PA", 11, 21, 200, sport=sport)),
    ]


def test_a_healthy_capture(lab):
    packets = [p for number in range(50) for p in conversation(number, 40000 + number)]
    packets.append(Packet(60.0, bytes(12) + b"\x08\x06" + bytes(28)))
    found = looked_at(lab, packets)
    assert (found.packets, found.accepted, found.rejects) == (201, 200, {"arp": 1})
    assert found.ip_bytes == 50 * (4 * 40 + 200)
    assert found.wire_bytes == sum(packet.wire_bytes for packet in packets)
    assert (found.syn_forth, found.syn_back) == (50, 0)
    assert (found.unordered, found.late, found.repeated, found.oversize) == (0, 0, 0, 0)
    assert found.rows.count == 50


def test_packets_out_of_order_are_late_from_ten_milliseconds_on(lab):
    packets = conversation()
    packets += [up(1.0, tcp("A", 211, 21)), up(0.995, tcp("A", 212, 21)),
                up(0.98, tcp("A", 213, 21))]  # fmt: skip
    found = looked_at(lab, packets)
    assert (found.unordered, found.late, found.latest_ns) == (2, 1, 20_000_000)


def test_frames_seen_twice(lab):
    first = up(1.0, tcp("PA", 211, 21, 10))
    again = Packet(1.0005, first.frame)
    later = Packet(1.01, first.frame)  # sent again
    assert looked_at(lab, [*conversation(), first, again, later]).repeated == 1


def test_frames_larger_than_the_wire_carries(lab):
    large = Packet(1.0, ethernet(ip_packet("198.18.0.1", SERVER, 6, tcp("A", 211, 21, 4000))))
    found = looked_at(lab, [*conversation(), large])
    assert (found.oversize, found.largest_bytes) == (1, 4040)
    assert looked_at(lab, [*conversation(), large], mtu=9000).oversize == 0


def test_a_simultaneous_open_has_one_syn_of_the_other_side(lab):
    found = looked_at(lab, [up(0, tcp("S", 10)), down(0.001, tcp("S", 20))])
    assert (found.syn_forth, found.syn_back) == (1, 1)


def test_rotated_files_are_one_capture(lab):
    packets = [p for number in range(20) for p in conversation(number, 40000 + number)]
    whole = looked_at(lab, packets)
    paths = [lab.file(pcap_bytes(part), f"part-{at}.pcap")
             for at, part in enumerate((packets[:30], packets[30:]))]  # fmt: skip
    found = witness(paths, config=MeterConfig(), run_id="r", network="n", mtu=1500)
    assert found.rows.columns() == whole.rows.columns()
    assert (found.packets, found.unordered) == (80, 0)


def test_a_digest_tells_a_bit_and_no_batches():
    rows = pa.table({"text": ["a", "", None, "ab"], "list": [[1.0], [], [2.0, 3.0], [0.0]],
                     "number": [1, 2, 3, None]})  # fmt: skip
    one, other = RowDigest(), RowDigest()
    one.add(rows.combine_chunks().to_batches()[0])
    for batch in rows.to_batches(max_chunksize=1):
        other.add(batch)
    assert one.columns() == other.columns()
    changed = RowDigest()
    changed.add(rows.set_column(1, "list", [[[1.0], [], [2.0, 3.0], [-0.0]]]).to_batches()[0])
    assert {n for n, d in changed.columns().items() if d != one.columns()[n]} == {"list"}
    moved = RowDigest()
    moved.add(rows.set_column(0, "text", [["a", "", "a", "b"]]).to_batches()[0])
    assert moved.columns()["text"] != one.columns()["text"]
