from __future__ import annotations

import json

import pytest

from audit import load_dataset, verify_audit
from audit.card import write_card
from audit.report import AuditReport
from topologies.errors import InputError
from topologies.files import sha256_file, write_json, write_text


def said(folder):
    return [str(problem).replace(f"{folder}/", "") for problem in verify_audit(folder)]


def audited(folder):
    """What an audit leaves behind, without its checks."""
    report = AuditReport(
        dataset="handmade",
        dataset_sha256=sha256_file(folder / "dataset.json"),
        released=True,
        checks=(),
        files=write_card(folder, load_dataset(folder), (), released=True),
    )
    write_json(folder / "audit.json", report.model_dump(mode="json"))
    return report


def test_an_audited_dataset_is_whole(new_dataset):
    folder = new_dataset().write()
    assert verify_audit(folder) == ()  # never audited: nothing to look at
    assert set(audited(folder).files) == {"card.md", "card.html", "croissant.json"}
    assert verify_audit(folder) == ()


def test_changed_and_missing_files_of_the_card_are_found(new_dataset):
    folder = new_dataset().write()
    audited(folder)
    write_text(folder / "card.md", "all is well")
    (folder / "croissant.json").unlink()
    first, second = said(folder)
    assert first.startswith("card.md: expected SHA-256")
    assert second.startswith("croissant.json: expected a file of the card, got none")


def test_an_audit_of_something_else_is_found(new_dataset):
    folder = new_dataset().write()
    audited(folder)
    values = json.loads((folder / "dataset.json").read_text())
    write_text(folder / "dataset.json", json.dumps(values | {"name": "another"}))
    assert said(folder) == [
        (
            "audit.json: dataset_sha256: expected that of dataset.json, got another one; audit the "
            "dataset again"
        )
    ]


def test_a_damaged_audit_is_an_input_error(new_dataset):
    folder = new_dataset().write()
    write_text(folder / "audit.json", "{}")
    with pytest.raises(InputError, match=r"audit\.json.*expected an audit report of this format"):
        verify_audit(folder)
