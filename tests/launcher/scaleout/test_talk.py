"""What the launcher and a machine say to each other: messages, errors, clocks, files."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher import labs
from launcher.backend import HostGoneError
from launcher.labs import Lab
from launcher.records import ClockRecord, EngineRecord
from launcher.scaleout import afar, clocks
from launcher.scaleout.agent import failure
from launcher.scaleout.channel import Channel
from launcher.scaleout.remote import Files, RemoteEngine, raised
from tagger.targets import Tolerances
from topologies.errors import LabError, MachineError

PLAIN = st.dictionaries(
    st.text(max_size=9).filter(lambda key: key != "bytes"),
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=3),
    max_size=4,
)


@given(st.lists(st.tuples(PLAIN, st.binary(max_size=99)), max_size=5))
def test_messages_arrive_as_they_were_sent(sent: list[tuple[dict[str, object], bytes]]) -> None:
    stream = io.BytesIO()
    channel = Channel(stream, stream)
    for message, data in sent:
        channel.send(message, data)
    stream.seek(0)
    received = [
        ({k: v for k, v in message.items() if k != "bytes"}, data)
        for message, data in channel.received()
    ]
    assert received == sent


def test_something_else_at_the_other_end_is_noticed(tmp_path: Path) -> None:
    engine = RemoteEngine("x", ["echo", "Welcome to lab-2"], errors=tmp_path / "said")
    with pytest.raises(LabError, match=r"^engine 'x' has gone away: .*exit code 0"):
        engine.ask("open")
    engine.close()


def test_why_a_machine_cannot_be_reached_is_told(tmp_path: Path) -> None:
    words = ["sh", "-c", "echo 'Permission denied (publickey).' >&2; exit 255"]
    engine = RemoteEngine("x", words, errors=tmp_path / "said")
    with pytest.raises(LabError, match=r"exit code 255; Permission denied \(publickey\)\."):
        engine.ask("open")
    engine.close()
    with pytest.raises(MachineError, match=r"^engine 'x' cannot be reached: .*no-such-program"):
        RemoteEngine("x", ["no-such-program"], errors=tmp_path / "said")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (HostGoneError("h", "gone"), HostGoneError, "host 'h' has died: gone (engine 'x')"),
        (MachineError("no tun", remedy="load it"), MachineError, "engine 'x': no tun; load it"),
        (LabError("broken"), LabError, "engine 'x': broken"),
        (KeyError("odd"), LabError, "engine 'x': 'odd'"),
    ],
)
def test_errors_keep_their_kind(error: Exception, kind: type[Exception], text: str) -> None:
    again = raised("x", failure(error))
    assert type(again) is kind
    assert str(again) == text


@pytest.mark.parametrize("place", ["/etc/passwd", "../x", "logs/../../x"])
def test_a_machine_writes_nowhere_but_into_the_run(tmp_path: Path, place: str) -> None:
    with pytest.raises(ValueError, match="it sent a file"):
        Files(tmp_path / "run").append({"path": place}, b"x")
    Files(tmp_path / "run").append({"path": "logs/a/b.log"}, b"one ")
    Files(tmp_path / "run").append({"path": "logs/a/b.log"}, b"two")
    assert (tmp_path / "run/logs/a/b.log").read_bytes() == b"one two"


def test_what_cannot_be_removed_from_here_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GSTA_STATE_DIR", str(tmp_path))
    lab = Lab.create(backend="docker", run_dir=tmp_path / "run")
    ways = {"far": ("sh", "-c", "echo no route to host >&2; exit 255"), "near": ("true",)}
    afar.note(lab.folder, [afar.Share(name, "abcd1234", words) for name, words in ways.items()])
    lab.abandon()
    report = labs.wipe()
    assert report.labs == (lab.id,)
    assert report.removed["parts on other machines"] == 1
    assert "lab abcd1234 on engine far could not be removed from here (no route" in caplog.text
    assert labs.wipe().labs == ()


def test_the_run_directory_of_a_part_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSTA_STATE_DIR", str(tmp_path))
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        lab = Lab.create(backend="netns", run_dir=tmp_path / name, temporary=True)
        lab.abandon()
        made.append(lab.id)
    assert labs.wipe(only=made[0]).labs == (made[0],)
    assert not (tmp_path / "one").exists()
    assert (tmp_path / "two").exists()


def test_an_offset_is_taken_from_the_fastest_round_trip() -> None:
    # Ours, theirs, ours: the second trip is short, and they are 7 s ahead.
    times = iter([0, 900, 1_000, 1_010, 2_000, 2_600])
    there = iter([7_000_000_100, 7_000_000_955, 7_000_001_700])
    trips = [(0, 900), (1_000, 1_010), (2_000, 2_600)]
    found = clocks.measure(lambda: next(there), now_ns=lambda: next(times), trials=len(trips))
    assert found.round_trip_ns == 10
    assert found.ahead_ns == 7_000_000_955 - 1_005


def record(name: str, *ahead_ms: float) -> EngineRecord:
    readings = (
        ClockRecord(time_ns=0, ahead_ns=int(x * 1e6), round_trip_ns=2_000_000) for x in ahead_ms
    )
    return EngineRecord(
        name=name,
        underlay="10.0.0.1",
        networks=(),
        hosts=(),
        clock=tuple(readings),
        versions={},
        machine={},
    )


def test_clocks_that_are_apart_are_warned_of() -> None:
    assert not list(clocks.warnings([record("a", 0, 0), record("b", 40, -40)]))
    # Within the tolerance, were it not for what the measurement may be wrong by.
    (warning,) = clocks.warnings([record("a", 0), record("b", 49)])
    assert warning.startswith("the clocks of engines 'a' and 'b' are up to 51.0 ms apart")
    assert len(list(clocks.warnings([record("a", 0, 0), record("b", 0, 90), record("c", 0)]))) == 1
    assert not list(clocks.warnings([record("a", 0), record("b")]))


def test_what_is_tolerated_is_what_labels_tolerate() -> None:
    assert Tolerances().clock_ns == clocks.TOLERATED_NS


def test_the_agent_of_nobody_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is this machine: its agent starts, tells the time, and goes with its input."""
    monkeypatch.setenv("GSTA_STATE_DIR", str(tmp_path))
    words = [sys.executable, "-m", "gsta", "lab", "node"]
    engine = RemoteEngine("x", words, errors=tmp_path / "said")
    assert engine.clock_ns() > 1e18
    engine.close()
    assert engine.gone.startswith("it ended with exit code 0")
