from __future__ import annotations

import numpy as np
import pytest

from builder import BuildConfig, SerialRunner, build
from builder.foreign import FlowTables, is_identifier
from builder.splits import Split
from topologies.errors import InputError, NotFoundError

ROWS = 240
QUICK = BuildConfig(families=("random_forest",), trials=1, folds=2)
DETECT = QUICK.model_copy(
    update={"task": "binary", "target": "malicious", "positive": ("malicious",)}
)


@pytest.fixture
def flows(tmp_path):
    """Write a table: ``flows("a.csv", rows=…)``; what a flow is shows in its service and bytes."""

    def write(name="flows.csv", *, rows=ROWS, seed=0, kinds=("normal", "scan", "flood"), **change):
        rng = np.random.default_rng(seed)
        lines = ["Src IP,start,service,bytes,host no,kind"]
        for row in range(rows):
            kind = kinds[(row // 4) % len(kinds)]
            service = change.get(kind, {"normal": "http", "scan": "ssh", "flood": "icmp"}.get(kind))
            size = int({"normal": 400, "scan": 40}.get(kind, 9000) * rng.uniform(0.8, 1.2))
            lines.append(f"198.18.0.{row % 200},{row},{service},{size},h{row // 4},{kind}")
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def tables(path, **more):
    split = more.pop("split", Split(group_column="host no"))
    return FlowTables((path,), label_column="kind", split=split, **more)


def test_groups_stay_together_and_addresses_stay_out(flows):
    data = tables(flows()).read(QUICK)
    assert [field.name for field in data.features] == ["start", "service", "bytes"]
    assert data.features[1].categories == ("http", "icmp", "ssh")
    assert not set(data.train.groups) & set(data.test.groups)
    assert len(data.test) == pytest.approx(0.3 * ROWS, abs=24)
    assert "left out, for they say who, where or when: Src IP" in data.notes


def test_the_last_rows_are_the_test_of_a_split_by_time(flows):
    data = tables(flows(), split=Split(time_column="start")).read(QUICK)
    assert [field.name for field in data.features] == ["service", "bytes", "host no"]
    assert data.train.flow_ids.astype(int).max() < data.test.flow_ids.astype(int).min()


def test_a_random_split_is_said(flows):
    data = tables(flows(), split=Split(random_share=0.25)).read(QUICK)
    assert len(data.test) == pytest.approx(0.25 * ROWS, abs=30)
    assert any("at random, as asked" in note for note in data.notes)
    assert any("row by row" in note for note in data.notes)


def test_nothing_is_split_at_random_unasked(flows):
    with pytest.raises(InputError, match="give --test-flows FILE"):
        tables(flows(), split=Split()).read(QUICK)


def test_faults_are_told(flows, tmp_path):
    path = flows()
    with pytest.raises(NotFoundError):
        tables(tmp_path / "none.csv").read(QUICK)
    with pytest.raises(InputError, match=r"time column: .*'when'"):
        tables(path, split=Split(time_column="when")).read(QUICK)
    with pytest.raises(InputError, match="ISO 8601"):
        tables(path, split=Split(time_column="service")).read(QUICK)
    with pytest.raises(InputError, match="not malicious, among flood, normal, scan"):
        tables(path, benign=("fine",)).read(DETECT)
    with pytest.raises(InputError, match="no categories"):
        tables(path).read(QUICK.model_copy(update={"target": "category"}))


def test_a_kind_without_training_flows_is_counted_not_learnt(flows):
    test = flows("test.csv", kinds=("normal", "scan", "worm"))
    data = tables(flows(), test_flows=(test,)).read(QUICK)
    assert data.labels == ("flood", "normal", "scan")
    assert data.skipped == {"of a class without training flows": 80}


def test_a_new_kind_of_attack_is_malicious_all_the_same(flows):
    test = flows("test.csv", kinds=("normal", "worm"), worm="telnet")
    result = build(
        tables(flows(), test_flows=(test,), benign=("normal",)), DETECT, runner=SerialRunner()
    )
    assert result.labels == ("other", "malicious")
    assert [score.support for score in result.test.classes] == [120, 120]
    assert result.test.classes[1].recall > 0.9  # by its bytes; the service is new
    assert result.table.delimiter == ","
    (one,) = result.preprocessing.one_hot
    assert one.position == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Source IP", True),
        ("srcip", True),
        ("Dst Port", True),
        ("Flow ID", True),
        ("Timestamp", True),
        ("dst_host_same_src_port_rate", False),
        ("ct_src_dport_ltm", False),
        ("src_bytes", False),
        ("duration", False),
    ],
)
def test_names_of_identifiers(name, says):
    assert is_identifier(name) is says
