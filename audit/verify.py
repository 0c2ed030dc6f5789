"""Whether audit and card are still those that were written, of this dataset."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from audit.report import AUDIT, AuditReport
from tagger.summary import SUMMARY
from topologies.errors import Problem
from topologies.files import sha256_file
from topologies.records import damaged_record

REMEDY = "audit the dataset again"


def verify_audit(dataset_dir: Path) -> tuple[Problem, ...]:
    """What is wrong with the audit and card of a dataset; nothing if it was never audited.

    Raises
    ------
    InputError
        `audit.json` is damaged.
    """
    path = dataset_dir / AUDIT
    try:
        report = AuditReport.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except ValidationError as error:
        raise damaged_record(
            path, error, expected="an audit report of this format", remedy=REMEDY
        ) from error
    problems = []
    if sha256_file(dataset_dir / SUMMARY) != report.dataset_sha256:
        problems.append(
            Problem(str(path), "dataset_sha256", f"that of {SUMMARY}", "another one", REMEDY)
        )
    for name, digest in report.files.items():
        file = dataset_dir / name
        if not file.is_file():
            problems.append(Problem(str(file), "", "a file of the card", "none", REMEDY))
        elif sha256_file(file) != digest:
            problems.append(
                Problem(str(file), "", f"SHA-256 {digest[:12]}…", "another one", REMEDY)
            )
    return tuple(problems)
