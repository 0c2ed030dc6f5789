from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from audit import AuditReport, all_checks, audit_dataset
from audit.result import THRESHOLDS, load_thresholds
from tagger import Agreement, LabelQuality
from tests.audit.conftest import HandmadeDataset
from topologies.errors import GateError, InputError
from topologies.files import write_text

ALIKE = {"D2": "all probes of this scan are alike"}


@dataclass(frozen=True)
class Audited:
    folder: Path
    report: AuditReport
    card: str
    json: dict


@pytest.fixture(scope="module")
def audited(tmp_path_factory) -> Audited:
    """A dataset with lost packets and a class that one command made, and what was found."""
    dataset = HandmadeDataset(tmp_path_factory.mktemp("spoilt") / "dataset")
    dataset.drops = 2
    for row in dataset.all_rows:
        if row["label"] == "scan":
            row |= {"c2s_packets": 1, "s2c_packets": 1, "c2s_ip_bytes": 60, "s2c_ip_bytes": 40}
    folder = dataset.write()
    steps = []
    report = audit_dataset(
        folder,
        accept=ALIKE,
        progress=lambda what, _, total: steps.append((what, total)),
    )
    assert steps == [(f"check {id_}", len(all_checks())) for id_ in all_checks()]
    written = json.loads((folder / "audit.json").read_text())
    return Audited(folder, report, (folder / "card.md").read_text(), written)


def test_a_failed_blocking_check_stops_the_release_with_its_remedy(audited):
    report = audited.report
    assert not report.released
    assert [result.id for result in report.blocking] == ["A1"]
    with pytest.raises(GateError, match=r"A1 \(B\) packets dropped .* 4 against 0: .*run again"):
        report.require_released()
    assert audited.json["released"] is False
    assert audited.json["checks"][0] == {
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
        "allowed": {},
        "accepted": None,
        "culprits": {},
        "changes": [],
        "no_change": "the dataset does not carry the topology that was played",
    }


def test_an_audit_may_be_repeated_and_an_accepted_failure_keeps_its_reason(audited):
    reason = "two packets of | ten million"
    report = audit_dataset(audited.folder, accept={"A1": reason, **ALIKE})
    report.require_released()
    assert report.checks[0].accepted == reason
    assert report.checks[1:] == audited.report.checks[1:]
    text = (audited.folder / "card.md").read_text()
    assert "Released by its audit." in text
    assert "**FAIL** (accepted)" in text
    assert "- Accepted, because: two packets of \\| ten million" in text


def test_the_summary_names_every_failure(audited):
    lines = audited.report.summary().splitlines()
    assert lines[0].startswith("audit: NOT released (")
    assert lines[1].startswith("A1 (B) packets dropped")
    assert any(line.startswith("F6 (W) largest share") for line in lines)


def test_the_card_has_counts_accuracy_checks_and_origin(audited):
    for part in (
        "**Not released by its audit.**",
        "| scan | scan | yes | 400 | 400 |",
        "| all | 2400 | 2400 | 100.00 % | 99.84 to 100.00 % |",
        "- Remedy: run again with less load",
        "| run-test | test | small | 1 | netns | 1200 |",
    ):
        assert part in audited.card


@pytest.mark.parametrize(
    ("accept", "message"),
    [
        ({"Z9": "because"}, "Z9: accept: expected one of the checks A1, A2, .* got 'Z9'"),
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
    dataset = new_dataset()
    dataset.rows = {"train": []}
    dataset.quality = LabelQuality(note="x", overall=Agreement(checked=2400, agreed=2400))
    report = audit_dataset(dataset.write(), thresholds=path)
    assert [result.id for result in report.blocking] == ["C1"]
