"""A run's evidence as it is written: two signs, ends, windows; captures at points, in files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from launcher import sessions
from launcher.activities import catalogue
from launcher.capture import CaptureOptions
from launcher.conntrack import BY_BOTH
from launcher.run import RunOptions
from launcher.rundir import ENDS, WINDOWS, read_evidence, read_journal
from tests.launcher import faulty_labs
from tests.launcher.faulty_labs import manifest, run_faulty

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def _own_labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSTA_STATE_DIR", str(tmp_path / "state"))


def run(folder: Path, options: RunOptions | None = None) -> Path:
    return run_faulty(folder, breaks=None, when=faulty_labs.in_phase, options=options).out


def test_both_signs_agree_and_every_flow_has_an_end(tmp_path: Path) -> None:
    out = run(tmp_path)
    said, records = manifest(out), list(read_evidence(out))
    counts = said["counts"]
    assert counts["evidence_lost"] == counts["ends_lost"] == 0
    ends = [json.loads(line) for line in (out / ENDS).read_text().splitlines()]
    key = ("protocol", "src", "sport", "dst", "dport", "activity")
    opened = [tuple(getattr(r, name) for name in key) for r in records]
    assert sorted(opened) == sorted(tuple(end[name] for name in key) for end in ends)
    assert len(opened) == counts["evidence"] == counts["ends"] > 10
    assert all(end["reply_bytes"] > 2_000 > end["bytes"] > 0 for end in ends if end["packets"] > 5)
    if said["evidence"] == BY_BOTH:
        assert counts["evidence_agree"] == len(records)
        assert all(record.second == record.activity for record in records)
    activities = {r.id for r in read_journal(out) if r.record == "activity"}
    assert {record.activity for record in records} <= activities


def test_what_sends_frames_itself_has_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending = {name: replace(kind, untracked=kind.variants) for name, kind in catalogue().items()}
    monkeypatch.setattr(sessions, "catalogue", lambda: sending)
    out = run(tmp_path)
    windows = [json.loads(line) for line in (out / WINDOWS).read_text().splitlines()]
    activities = {r.id: r for r in read_journal(out) if r.record == "activity"}
    assert {window["activity"] for window in windows} == set(activities)
    for window in windows:
        activity = activities[window["activity"]]
        assert (window["start_ns"], window["stop_ns"]) == (activity.start_ns, activity.stop_ns)
        assert window["addresses"] == list(activity.addresses)
        number = int(activity.addresses[0].rpartition(".")[2])
        assert window["macs"] == [f"02:00:c6:12:28:{number:02x}"]


def test_both_ends_of_a_cable_are_captured_and_cut_to_the_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = "captures: [lan, 'server:eth0', 'server:port0']\n"
    monkeypatch.setattr(faulty_labs, "TOPOLOGY", faulty_labs.TOPOLOGY + points)
    out = run(tmp_path, RunOptions(capture=CaptureOptions(snaplen_bytes=96)))
    captures = {record["network"]: record for record in manifest(out)["captures"]}
    assert [record["file"] for record in captures.values()] == [
        f"captures/{name}.pcap" for name in ("lan", "server_eth0", "server_port0")
    ]
    counts = {record["packets"] for record in captures.values()}
    # A network sees what its hosts say to all, before the server's cable does.
    assert max(counts) - min(counts) <= 10
    assert min(counts) > 50
    sizes = {(out / record["file"]).stat().st_size for record in captures.values()}
    assert max(sizes) <= 24 + max(counts) * (16 + 96)


def test_a_rotated_capture_is_all_there(tmp_path: Path) -> None:
    out = run(tmp_path, RunOptions(capture=CaptureOptions(rotate_s=1)))
    (record,) = manifest(out)["captures"]
    files = [record["file"], *record["further"]]
    assert len(files) > 1
    assert sorted(str(path.relative_to(out)) for path in (out / "captures").iterdir()) == sorted(
        files
    )
    assert record["packets"] == record["received"] > 50
