"""What is kept of a run beside its flows: captures, capture points, clocks, who was reached."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from flowmeter import meter_run
from launcher.records import CaptureRecord, FlowEndRecord
from launcher.rundir import read_manifest, write_manifest
from tagger import TaggedRun, read_facts, tag_run, verify, write_dataset
from tagger.facts import facts_file
from tagger.flows import FlowKeys
from tagger.gather import gather_facts
from tagger.points import compare_points
from tests.flowmeter.conftest import pcap_bytes, tcp, udp, up
from tests.tagger.conftest import ALICE, SERVER, ns
from topologies import load_topology
from topologies.errors import InputError
from topologies.files import sha256_file


def with_capture(run, packets, network="servers"):
    """Give a handmade run a capture of its own, and the flow table that is made of it."""
    folder = run.write().folder
    file = folder / "captures" / f"{network}.pcap"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(pcap_bytes(packets))
    record = CaptureRecord(
        network=network, file=f"captures/{network}.pcap", packets=len(packets),
        received=len(packets), dropped_by_kernel=0, dropped_by_interface=0,
    )  # fmt: skip
    digests = {record.file: sha256_file(file)}
    manifest = read_manifest(folder).model_copy(update={"captures": (record,), "sha256": digests})
    write_manifest(folder, manifest)
    meter_run(folder, run.table)
    return folder


TALK = [
    up(1.0, tcp("S", 10), src=ALICE, dst=SERVER),
    up(1.1, tcp("A", 11, 21), src=ALICE, dst=SERVER),
    up(1.2, udp(30), src=ALICE, dst=SERVER),
]


def test_facts_are_written_with_the_dataset_and_are_of_it(new_run, tmp_path):
    run = new_run("one")
    folder = with_capture(run, TALK)
    out = tmp_path / "dataset"
    write_dataset(out, "small", [TaggedRun(folder, run.table, "train")])
    (facts,) = read_facts(out, [run.run_id, "another"])
    (capture,) = facts.captures
    assert (capture.packets, capture.accepted, capture.table_packets) == (3, 3, 3)
    assert capture.ip_bytes == capture.table_ip_bytes == 40 + 40 + 58
    assert (capture.live_flows, capture.differing, capture.mtu) == (2, (), 1500)
    assert facts.outside == {}
    assert not verify(out)
    facts_file(out, run.run_id).write_text("{}")
    assert verify(out)
    with pytest.raises(InputError, match="run_id"):
        read_facts(out, [run.run_id])


def test_a_flow_table_of_other_packets_is_told(new_run):
    run = new_run("one")
    folder = with_capture(run, TALK)
    (folder / "captures" / "servers.pcap").write_bytes(pcap_bytes(TALK[:2]))
    (capture,) = gather_facts(folder, run.table).captures
    assert (capture.packets, capture.table_packets, capture.live_flows) == (2, 3, 1)
    assert "flow_id" in capture.differing


def test_captures_that_are_gone_are_told(new_run):
    run = new_run("one")
    folder = with_capture(run, TALK)
    (folder / "captures" / "servers.pcap").unlink()
    (capture,) = gather_facts(folder, run.table).captures
    assert "not in the run directory" in capture.note
    assert capture.table_packets == 3


def test_an_answer_from_outside_the_lab_is_told(new_run):
    run = new_run("one")
    away = [up(1.0, udp(30), src=ALICE, dst="8.8.8.8"), up(2.0, udp(30), src=ALICE, dst="9.9.9.9")]
    back = up(1.1, udp(30, sport=53, dport=5000), src="8.8.8.8", dst=ALICE)
    local = up(3.0, udp(30), src="0.0.0.0", dst="255.255.255.255")
    folder = with_capture(run, [away[0], back, away[1], local])
    assert gather_facts(folder, run.table).outside == {"8.8.8.8": 1}


def test_the_kernels_word_and_the_capture_have_one_clock(new_run):
    run = new_run("one")
    folder = with_capture(run, TALK)
    assert gather_facts(folder, run.table).clock.kernel_ms is None
    end = FlowEndRecord(
        start_ns=ns(0.75), time_ns=ns(9), protocol=6, src=ALICE, sport=40000, dst=SERVER, dport=443,
        host="alice", activity=None, packets=2, bytes=80, reply_packets=0, reply_bytes=0,
    )  # fmt: skip
    (folder / "ends.jsonl").write_text(end.model_dump_json() + "\n")
    clock = gather_facts(folder, run.table).clock
    assert (clock.kernel_ms, clock.compared, clock.engines_ms) == (250.0, 1, 0.0)


def test_an_attack_that_goes_on_after_its_stop_is_told(new_run):
    run = new_run("one")
    attack = run.activity("scan", start_s=1, stop_s=10)
    other = run.activity("web", start_s=1, stop_s=10)
    for activity, time_s in ((attack, 5), (attack, 14), (attack, 16), (other, 40)):
        run.flow(time_s, time_s, sport=40000 + time_s, owner=activity)
    folder = with_capture(run, TALK)
    assert gather_facts(folder, run.table).after_stop == {attack: 1}


def test_a_flow_of_two_owners_is_torn(new_run):
    run = new_run("one")
    web = run.activity("web", start_s=1, stop_s=30)
    ssh = run.activity("ssh", start_s=1, stop_s=30, port=22)
    torn = run.flow(2, 20, sport=40000, owner=web)
    run.flow(3, 4, sport=40001, owner=web)
    run.flow(5, 6, sport=40002, owner=ssh, dport=22)
    run.evidence.append(run.evidence[0].model_copy(update={"time_ns": ns(12), "activity": ssh}))
    assert tag_run(run.write().folder, run.table).torn == (torn,)


def observed(rows):
    """Observations as rows of (network, src, dst, sport, packets there, packets back)."""
    number = np.arange(len(rows), dtype=np.int64)
    texts = {
        name: pa.array([row[at] for row in rows])
        for at, name in enumerate(("network", "src_ip", "dst_ip"))
    }
    keys = FlowKeys(
        flow_id=pa.array([f"f{n}" for n in number]), **texts,
        src_port=np.array([row[3] for row in rows]), dst_port=np.full(len(rows), 443),
        protocol=np.full(len(rows), 6), first_ns=number, last_ns=number,
    )  # fmt: skip
    return keys, np.array([[row[4] for row in rows], [row[5] for row in rows]])


@pytest.fixture
def topology(new_run):
    return load_topology(new_run("lab").write().folder / "topology.yaml").model


def test_points_that_agree(topology):
    found = compare_points(
        *observed([("lan-a", ALICE, SERVER, 1, 9, 7), ("servers", ALICE, SERVER, 1, 9, 7)]),
        topology,
    )
    assert (found.flows, found.packets, found.appeared, found.vanished) == (2, 16, 0, 0)
    assert (found.excused, found.loss_percent) == ((), 0)


def test_what_a_point_missed_and_what_got_lost(topology):
    rows = [("lan-a", ALICE, SERVER, 1, 9, 7), ("servers", ALICE, SERVER, 1, 12, 8)]
    found = compare_points(*observed(rows), topology)
    assert (found.appeared, found.vanished) == (3, 1)


def test_a_flow_in_pieces_is_summed_up(topology):
    rows = [("lan-a", ALICE, SERVER, 1, 9, 0), ("servers", ALICE, SERVER, 1, 4, 0),
            ("servers", ALICE, SERVER, 1, 5, 0)]  # fmt: skip
    found = compare_points(*observed(rows), topology)
    assert (found.packets, found.appeared, found.vanished) == (9, 0, 0)


def test_a_forged_sender_is_not_compared(topology):
    rows = [("lan-a", ALICE, SERVER, 1, 0, 5), ("servers", ALICE, SERVER, 1, 5, 5)]
    found = compare_points(*observed(rows), topology)
    assert (found.flows, found.packets, found.appeared) == (1, 5, 0)


def test_one_point_compares_nothing(topology):
    assert compare_points(*observed([("lan-a", ALICE, SERVER, 1, 9, 7)]), topology) is None


def test_declared_losses_and_excuses(topology):
    lossy = topology.model_dump(mode="json")
    lossy["networks"]["lan-a"]["impairments"] |= {"loss_percent": 2.0, "rate_mbit": 10.0}
    lossy["networks"]["servers"]["impairments"] |= {"duplicate_percent": 1.0}
    rows = [("lan-a", ALICE, SERVER, 1, 9, 7), ("servers", ALICE, SERVER, 1, 9, 7)]
    found = compare_points(*observed(rows), type(topology).model_validate(lossy))
    assert (found.loss_percent, found.duplicate_percent) == (2.0, 1.0)
    assert found.excused == ("the queue of lan-a",)
