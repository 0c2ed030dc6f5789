"""Captures to verdicts, on a champion that was built, registered and resolved for real."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scapy.layers.l2 import ARP, Ether
from scapy.utils import wrpcap

from analyser import UNCERTAIN, Verdicts, analyse, classify, summarise
from analyser.forensic import verdict_schema
from builder.novelty import Novelty, Scale
from flowmeter import meter
from sta_registry import Registry, Sta, load_sta
from topologies.errors import CaptureError, InputError, NotFoundError

ROOT = Path(__file__).parents[2]
PORT_OF = {"typing": 22, "transfer": 443}


def test_flows_of_an_unseen_capture_get_their_class(sta: Sta, captures: dict[str, Path]) -> None:
    verdicts = analyse(captures["unseen"], sta)
    assert verdicts.flows == 30
    assert verdicts.rejects == {}
    assert verdicts.alerts == 0
    ports = verdicts.table["dst_port"].to_pylist()
    assert ports == [PORT_OF[label] for label in verdicts.table["class"].to_pylist()]
    assert pc.min(verdicts.table["probability"]).as_py() > 0.5


def test_counters_and_times_are_the_meter_s(sta: Sta, captures: dict[str, Path]) -> None:
    table = analyse(captures["unseen"], sta).table
    metered = meter(captures["unseen"])
    assert pc.sum(table["packets"]).as_py() == metered.packets
    flows = metered.table
    expected = pc.add(flows["c2s_ip_bytes"], flows["s2c_ip_bytes"])
    assert pc.sum(table["ip_bytes"]).as_py() == pc.sum(expected).as_py()
    first = table["first_ns"].to_pylist()
    assert first == sorted(first)


def test_a_capture_without_flows_gives_an_empty_table(sta: Sta, tmp_path: Path) -> None:
    capture = tmp_path / "arp.pcap"
    wrpcap(str(capture), [Ether() / ARP()] * 3)
    verdicts = analyse(capture, sta, all_probabilities=True)
    assert verdicts.flows == 0
    assert verdicts.packets == sum(verdicts.rejects.values()) == 3
    assert verdicts.table.schema == verdict_schema(sta.manifest, all_probabilities=True)
    assert summarise(verdicts.table).num_rows == 0


def test_probabilities_of_all_classes_sum_to_one(sta: Sta, captures: dict[str, Path]) -> None:
    table = analyse(captures["unseen"], sta, all_probabilities=True).table
    names = [f"probability_{label}" for label in sta.manifest.classes]
    totals = pc.add(table[names[0]], table[names[1]]).to_pylist()
    assert totals == pytest.approx([1.0] * table.num_rows, abs=2e-6)
    for row in table.to_pylist():
        assert row["probability"] == max(row[name] for name in names)
        assert row[f"probability_{row['class']}"] == row["probability"]


def test_a_flow_unlike_anything_trained_on_is_unknown(sta: Sta, captures: dict[str, Path]) -> None:
    everything = Novelty(0.99, -1.0, Scale((0.0,), (0.0,)))  # every surprise is above this
    manifest = sta.manifest.model_copy(update={"novelty": everything})
    strange = analyse(captures["unseen"], replace(sta, manifest=manifest), threshold=1.0)
    assert set(strange.table["class"].to_pylist()) == {"unknown"}
    assert strange.alerts == 0
    plain = analyse(captures["unseen"], sta)
    assert strange.table["probability"].equals(plain.table["probability"])


def test_below_the_threshold_a_flow_is_uncertain(sta: Sta, captures: dict[str, Path]) -> None:
    flows = meter(captures["unseen"]).table
    # A conversation that is half of each kind leaves the forest undecided.
    mixed = flows.set_column(
        flows.schema.get_field_index("s2c_ip_bytes"),
        flows.schema.field("s2c_ip_bytes"),
        pa.array([0] * flows.num_rows, pa.int64()),
    )
    doubtful = classify(mixed, sta)
    lowest = pc.min(doubtful["probability"]).as_py()
    assert lowest < 1
    table = classify(mixed, sta, threshold=1.0)
    expected = [
        label if probability >= 1 else UNCERTAIN
        for label, probability in zip(
            doubtful["class"].to_pylist(), doubtful["probability"].to_pylist(), strict=True
        )
    ]
    assert table["class"].to_pylist() == expected
    assert UNCERTAIN in expected


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_probability(sta: Sta, threshold: float) -> None:
    with pytest.raises(InputError, match="a probability from 0 to 1"):
        analyse(Path("never-read.pcap"), sta, threshold=threshold)


def test_a_binary_sta_counts_alerts(registry: Registry, captures: dict[str, Path]) -> None:
    sta = load_sta(registry.resolve("typing"))
    verdicts = analyse(captures["unseen"], sta)
    assert sta.manifest.classes == ("other", "typing")
    assert verdicts.alerts == 15
    assert set(verdicts.table["class"].to_pylist()) == {"other", "typing"}


def test_a_binary_sta_answers_by_its_operating_point(
    registry: Registry, captures: dict[str, Path]
) -> None:
    sta = load_sta(registry.resolve("typing"))

    def at(threshold: float) -> Verdicts:
        manifest = sta.manifest.model_copy(update={"threshold": threshold})
        return analyse(captures["unseen"], replace(sta, manifest=manifest), all_probabilities=True)

    assert at(1.0).alerts == 0
    for row in at(0.01).table.to_pylist():
        assert row["class"] == ("typing" if row["probability_typing"] > 0.01 else "other")
        assert row["probability"] == row[f"probability_{row['class']}"]


def test_captures_together_are_one_point_in_the_network(
    sta: Sta, captures: dict[str, Path]
) -> None:
    together = analyse([captures["unseen"], captures["test"]], sta)
    apart = [analyse(captures[name], sta) for name in ("unseen", "test")]
    assert together.packets == sum(one.packets for one in apart)


def test_what_is_no_capture_is_refused(sta: Sta, tmp_path: Path) -> None:
    text = tmp_path / "notes.pcap"
    text.write_text("these are notes, not packets\n" * 5)
    with pytest.raises(CaptureError) as refused:
        analyse(text, sta)
    assert refused.value.exit_code == 2
    with pytest.raises(NotFoundError):
        analyse(tmp_path / "absent.pcap", sta)


def test_summary_adds_up(sta: Sta, captures: dict[str, Path]) -> None:
    table = analyse(captures["unseen"], sta).table
    summary = summarise(table).to_pylist()
    assert [(row["class"], row["flows"]) for row in summary] == [("transfer", 15), ("typing", 15)]
    assert sum(row["packets"] for row in summary) == pc.sum(table["packets"]).as_py()
    assert all(0.5 < row["mean_probability"] <= 1 for row in summary)


WITHOUT_TRAINING_LIBRARIES = """
import sys

BLOCKED = {"sklearn", "xgboost", "ray", "keras", "jax", "skl2onnx", "onnxmltools", "onnx",
           "mlflow", "pandas", "scipy", "rich"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is not part of an inference environment")

sys.meta_path.insert(0, Blocker())
from pathlib import Path
from analyser import analyse, write_verdicts
from sta_registry import Registry, Store, load_sta

folder, capture = map(Path, sys.argv[1:])
sta = load_sta(Registry(Store.open()).resolve(folder))
write_verdicts(analyse(capture, sta).table, "jsonl", sys.stdout.buffer)
assert not BLOCKED & {name.partition(".")[0] for name in sys.modules}
"""


def test_analysis_needs_nothing_that_trained_the_model(
    registry: Registry, sta: Sta, captures: dict[str, Path], tmp_path: Path
) -> None:
    folder = registry.export("kinds", tmp_path / "kinds")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TRAINING_LIBRARIES, str(folder), str(captures["unseen"])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == analyse(captures["unseen"], sta).flows
