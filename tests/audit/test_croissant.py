"""The metadata, read by the library that defines it."""

from __future__ import annotations

import json

import mlcroissant
import numpy as np
import pyarrow.parquet as pq
import pytest

from audit import load_dataset
from audit.card import write_card
from audit.result import CheckResult
from topologies.files import sha256_file

# The reading library is behind two of its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword"),
]


@pytest.fixture
def folder(new_dataset):
    dataset = new_dataset()
    for rows in dataset.rows.values():
        del rows[20:]
        rows[0]["label"] = "unlabelled"
    dataset.drops = 2
    dataset.write()
    failed = CheckResult(
        id="A1",
        severity="B",
        title="packets dropped",
        value=4,
        threshold=0,
        verdict="fail",
        evidence=(),
        remedy="run again",
    )
    write_card(dataset.folder, load_dataset(dataset.folder), [failed], released=False)
    return dataset.folder


def test_it_is_valid_and_its_records_are_the_dataset(folder):
    read = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))  # raises what is invalid
    flows = list(read.records("flows"))
    table = [
        row
        for run in ("run-test", "run-train")
        for row in pq.ParquetFile(
            folder / "flows" / f"run_id={run}" / "part-0.parquet"
        ).read().to_pylist()
    ]  # fmt: skip
    assert len(flows) == len(table) == 40
    by_id = {row["flow_id"]: row for row in table}
    for flow in flows:
        row = by_id[flow["flows/flow_id"].decode()]
        assert flow["flows/dst_port"] == row["dst_port"]
        rtt = flow["flows/handshake_rtt_ms"]
        assert np.isclose(np.nan if rtt is None else rtt, row["handshake_rtt_ms"], equal_nan=True)
        assert np.allclose(flow["flows/seq_iat_us"], row["seq_iat_us"])
    labels = [record["labels/label"].decode() for record in read.records("labels")]
    assert labels == pq.read_table(folder / "labels.parquet")["label"].to_pylist()
    assert len(list(read.records("splits"))) == 40


def test_it_names_every_file_with_its_digest(folder):
    metadata = json.loads((folder / "croissant.json").read_text())
    files = {f["contentUrl"]: f["sha256"] for f in metadata["distribution"] if "sha256" in f}
    assert files == json.loads((folder / "dataset.json").read_text())["files"]
    assert all(sha256_file(folder / name) == digest for name, digest in files.items())


def test_it_says_what_is_wrong_with_the_dataset(folder):
    read = mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).metadata
    assert "NOT released by its audit" in read.description
    assert read.data_limitations[0] == "The audit did not release it."
    assert any(text.startswith("A1 failed: packets dropped") for text in read.data_limitations)
    assert "2400 of 2400 labels" not in read.data_annotation_analysis[0]
    assert "38 of 38 labels agree" in read.data_annotation_analysis[0]
    assert read.data_collection_missing_data.startswith("2 flows have no label")
    assert "4 packets were dropped" in read.data_collection_missing_data
    assert len(read.data_collection_timeframe) == 2
    for said in (
        read.data_collection,
        read.data_collection_type,
        read.data_annotation_protocol,
        read.data_preprocessing_protocol,
        read.data_biases,
        read.data_use_cases,
        read.personal_sensitive_information,
        read.data_social_impact,
        read.data_release_maintenance_plan,
    ):
        assert said
