"""What the evidence covers: which flows have an owner, by which kind of it, and the counts."""

from __future__ import annotations

import json

import pytest

from launcher.records import EvidenceRecord, FlowEndRecord, WindowRecord
from tagger import tag_run
from tests.tagger.conftest import ALICE, SERVER, ns
from topologies.errors import InputError


def said(run, flow: dict, **more) -> EvidenceRecord:
    values = {
        "time_ns": flow["first_ns"],
        "protocol": flow["protocol"],
        "src": flow["src_ip"],
        "sport": flow["src_port"],
        "dst": flow["dst_ip"],
        "dport": flow["dst_port"],
        "host": "server",
    }
    return EvidenceRecord.model_validate(values | more)


def coverage(run):
    run.write()
    found = tag_run(run.folder, run.table).quality.coverage
    assert found is not None
    return found


def test_flows_without_an_owner_are_counted_by_protocol(new_run) -> None:
    run = new_run()
    web = run.activity("web", start_s=1, stop_s=5)
    for sport in range(40_000, 40_003):
        run.flow(1.5, 2.5, sport=sport, owner=web)
    run.flow(1.5, 2.5, sport=41_000)
    run.flow(1.5, 2.5, sport=41_001, protocol=17)
    run.flow(1.5, 2.5, sport=0, dport=0, protocol=1)  # an error of the kernel's own
    run.flow(1.5, 2.5, sport=0, dport=0, protocol=58, owner=web)  # an echo that a program sent
    found = coverage(run)
    assert (found.flows, found.known, found.by_window) == (6, 4, 0)
    assert found.unseen == {"tcp": 1, "udp": 1}
    assert found.share == pytest.approx(4 / 6)
    words = tag_run(run.folder, run.table).summary()
    assert "evidence: 4 of 6 flows that programs made have an owner (66.66 %" in words
    assert "1 tcp unseen, 1 udp unseen)" in words


@pytest.mark.parametrize(("late_s", "known"), [(0.4, 1), (9, 0)])
def test_a_packet_of_no_flow_may_be_read_of_late(new_run, late_s: float, known: int) -> None:
    """As those of a FIN scan on a busy machine: the kernel gives them no time."""
    run = new_run()
    scan = run.activity("scan", start_s=1, stop_s=20)
    run.flow(2, 2, sport=50_000)
    packet = said(run, run.flows[-1], role="packet", activity=scan, time_ns=ns(2 + late_s))
    run.evidence.append(packet)
    run.flow(3, 4, sport=50_001, owner=scan)
    assert coverage(run).known == 1 + known


def test_a_flow_that_a_server_opens_is_of_the_activity_that_accepts_it(new_run) -> None:
    """As the data connection of active FTP."""
    run = new_run()
    ftp = run.activity("web", start_s=1, stop_s=5)
    www = run.service()
    run.flow(2, 3, sport=20, src=SERVER, dst=ALICE, dport=45_000, owner=www)
    run.evidence.append(said(run, run.flows[-1], role="accepted", activity=ftp, host="alice"))
    # One that another activity opens is that one's, whoever accepts it.
    other = run.activity("web", start_s=1, stop_s=5, host="bob")
    run.flow(2, 3, sport=46_000, owner=other)
    run.evidence.append(said(run, run.flows[-1], role="accepted", activity=ftp))
    run.write()
    labels = tag_run(run.folder, run.table).labels.to_pylist()
    assert [row["oracle"] for row in labels] == ["web", "web"]
    report = tag_run(run.folder, run.table)
    assert report.quality.unseen == 0
    assert coverage(run).known == 2


def test_what_sends_frames_itself_is_known_by_its_window(new_run) -> None:
    run = new_run()
    scan = run.activity("scan", start_s=20, stop_s=25, port=None, protocol="any")
    for at, sport in ((21, 50_000), (22, 50_001), (40, 50_002)):
        run.flow(at, at, sport=sport)
    run.flow(1, 1, sport=50_003, owner=scan, event_s=1)
    run.flow(22, 22, sport=0, dport=0, protocol=1)  # an error: the kernel's, as ever
    window = {"activity": scan, "host": "alice", "addresses": (ALICE,), "macs": ()}
    record = WindowRecord.model_validate(window | {"start_ns": ns(20), "stop_ns": ns(25)})
    run.write()
    (run.folder / "windows.jsonl").write_text(record.model_dump_json() + "\n")
    found = tag_run(run.folder, run.table).quality.coverage
    assert (found.flows, found.known, found.by_window) == (4, 3, 2)
    other = run.activity("scan", start_s=20, stop_s=25, port=None, protocol="any")
    run.write()
    second = record.model_copy(update={"activity": other, "start_ns": ns(21.5)})
    lines = [record.model_dump_json(), second.model_dump_json()]
    (run.folder / "windows.jsonl").write_text("\n".join(lines) + "\n")
    found = tag_run(run.folder, run.table).quality.coverage
    assert found.by_window == 1  # at 22 s it could be either's
    (run.folder / "windows.jsonl").write_text("no record\n")
    with pytest.raises(InputError, match=r"windows\.jsonl:1: expected a window record"):
        tag_run(run.folder, run.table)


def test_the_kernels_counters_check_the_capture(new_run) -> None:
    run = new_run()
    run.schema = run.schema.append(run.schema.field("c2s_packets").with_name("s2c_packets"))
    web = run.activity("web", start_s=1, stop_s=9)
    for sport in (40_000, 40_001, 40_001, 40_002):  # the second flow is in two rows
        run.flow(1.5, 2.5, sport=sport, owner=web)
    for number, row in enumerate(run.flows):
        row |= {"c2s_packets": 10, "s2c_packets": 5, "first_ns": ns(2 + number)}
    counted = {40_000: (10, 5), 40_001: (20, 10), 40_002: (10, 6), 40_003: (1, 0)}
    ends = [
        FlowEndRecord(
            start_ns=ns(2), time_ns=ns(8), protocol=6, src=ALICE, sport=sport, dst=SERVER,
            dport=443, host="alice", activity=web, packets=there, bytes=1, reply_packets=back,
            reply_bytes=1,
        )
        for sport, (there, back) in counted.items()
    ]  # fmt: skip
    run.write()
    (run.folder / "ends.jsonl").write_text("".join(end.model_dump_json() + "\n" for end in ends))
    found = tag_run(run.folder, run.table).quality.coverage
    assert (found.compared, found.equal) == (3, 2)
    (run.folder / "ends.jsonl").write_text(json.dumps({"start_ns": "soon"}))
    with pytest.raises(InputError, match="records of ended flows"):
        tag_run(run.folder, run.table)


def test_without_evidence_nothing_is_claimed(busy_run) -> None:
    run = busy_run()
    run.evidence.clear()
    run.write()
    assert tag_run(run.folder, run.table).quality.coverage is None
