from __future__ import annotations

import json

import pytest

from audit import all_checks, audit_dataset
from audit.result import THRESHOLDS, load_thresholds
from topologies.errors import GateError, InputError
from topologies.files import write_text


def spoilt(dataset):
    dataset.drops = 2
    for row in dataset.all_rows:
        if row["label"] == "scan":
            row |= {"c2s_packets": 1, "s2c_packets": 1, "c2s_ip_bytes": 60, "s2c_ip_bytes": 40}
    return dataset


def test_a_failed_blocking_check_stops_the_release_with_its_remedy(new_dataset):
    folder = spoilt(new_dataset()).write()
    report = audit_dataset(folder)
    assert not report.released
    assert [result.id for result in report.blocking] == ["A1"]
    with pytest.raises(GateError, match=r"A1 \(B\) packets dropped .* 4 against 0: .*run again"):
        report.require_released()
    written = json.loads((folder / "audit.json").read_text())
    assert written["released"] is False
    first = written["checks"][0]
    assert first == {
        "id": "A1",
        "severity": "B",
        "title": "packets dropped by the kernel or an interface while capturing",
        "value": 4.0,
        "threshold": 0.0,
        "verdict": "fail",
        "evidence": [
            "2000 packets received in 2 captures",
            "run-train, servers: 2 dropped",
            "run-test, servers: 2 dropped",
        ],
        "remedy": "run again with less load on the machine, or fewer users at once",
        "accepted": None,
    }


def test_an_accepted_failure_releases_and_keeps_its_reason(new_dataset):
    folder = spoilt(new_dataset()).write()
    report = audit_dataset(folder, accept={"A1": "two packets of | ten million"})
    assert report.released
    report.require_released()
    assert report.checks[0].accepted == "two packets of | ten million"
    text = (folder / "card.md").read_text()
    assert "Released by its audit." in text
    assert "**FAIL** (accepted)" in text
    assert "- Accepted, because: two packets of \\| ten million" in text


def test_the_summary_names_every_failure(new_dataset):
    lines = audit_dataset(spoilt(new_dataset()).write()).summary().splitlines()
    assert lines[0].startswith("audit: NOT released (2 fail")
    assert lines[1].startswith("A1 (B) packets dropped")
    assert lines[2].startswith("F6 (W) largest share")


def test_the_card_has_counts_accuracy_checks_and_origin(new_dataset):
    folder = spoilt(new_dataset()).write()
    audit_dataset(folder)
    text = (folder / "card.md").read_text()
    for part in (
        "**Not released by its audit.**",
        "| scan | scan | yes | 400 | 400 |",
        "| all | 2400 | 2400 | 100.00 % | 99.84 to 100.00 % |",
        "- Remedy: run again with less load",
        "| run-test | test | small | 1 | netns | 1200 |",
    ):
        assert part in text
    assert "inf" not in text.split("## Audit")[0]


def test_an_audit_changes_no_file_of_the_dataset_and_may_be_repeated(new_dataset):
    folder = new_dataset().write()
    first = audit_dataset(folder)
    assert audit_dataset(folder) == first


@pytest.mark.parametrize(
    ("accept", "message"),
    [
        ({"Z9": "because"}, "Z9: accept: expected one of the checks A1, B4, .* got 'Z9'"),
        ({"A1": "  "}, "A1: accept: expected a reason in words, got none"),
    ],
)
def test_only_known_checks_with_a_reason_can_be_accepted(new_dataset, accept, message):
    folder = new_dataset().write()
    with pytest.raises(InputError, match=message):
        audit_dataset(folder, accept=accept)
    assert not (folder / "audit.json").exists()


def test_a_changed_file_is_refused(new_dataset):
    folder = new_dataset().write()
    with (folder / "splits.parquet").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match=r"splits\.parquet: expected SHA-256"):
        audit_dataset(folder)


def test_flows_and_labels_in_different_order_are_refused(new_dataset):
    dataset = new_dataset()
    rows = dataset.rows
    dataset.rows = {"train": rows["train"], "test": rows["test"]}
    folder = dataset.write()
    summary = json.loads((folder / "dataset.json").read_text())
    summary["runs"].reverse()
    write_text(folder / "dataset.json", json.dumps(summary))
    with pytest.raises(InputError, match="expected the same flows in the same order"):
        audit_dataset(folder)


def test_thresholds_name_every_check_and_no_other(tmp_path):
    text = THRESHOLDS.read_text()
    path = tmp_path / "thresholds.yaml"
    path.write_text(text.replace("  F6:", "  F99:"))
    with pytest.raises(InputError) as caught:
        load_thresholds(path, known=all_checks())
    assert [(p.path, p.got) for p in caught.value.problems] == [
        ("checks.F99", "'F99'"),
        ("checks", "none"),
    ]


def test_a_stricter_thresholds_file_decides(new_dataset, tmp_path):
    path = tmp_path / "thresholds.yaml"
    path.write_text(THRESHOLDS.read_text().replace("C1: {severity: B, limit: 0.995}",
                                                   "C1: {severity: B, limit: 0.9999}"))  # fmt: skip
    report = audit_dataset(new_dataset().write(), thresholds=path)
    assert [result.id for result in report.blocking] == ["C1"]
