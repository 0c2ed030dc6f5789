"""The runs that become a dataset, and which of them are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.rundir import read_manifest
from tagger.flows import read_flow_schema
from tagger.summary import SUMMARY, DatasetSummary, Split, load_summary, verify
from topologies.errors import InputError, Problem


@dataclass(frozen=True, slots=True)
class TaggedRun:
    """A run for a dataset: its directory, its flow table, and the split that all of it goes to."""

    run_dir: Path
    flows: Path
    split: Split


def check_out(out: Path) -> None:
    """Refuse to write a dataset over anything that is none."""
    if out.exists() and not (out / SUMMARY).is_file() and not (out.is_dir() and _empty(out)):
        raise InputError(
            Problem(
                str(out),
                "",
                "a new folder or a dataset to replace",
                "something else",
                "choose another place, or remove it yourself",
            )
        )


def require_whole(dataset_dir: Path) -> DatasetSummary:
    """A dataset's summary; raises `InputError` unless every file is as it was written."""
    summary = load_summary(dataset_dir)
    if problems := verify(dataset_dir):
        raise InputError(problems)
    return summary


def _empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def check_sources(runs: Sequence[TaggedRun]) -> None:
    """Refuse runs that cannot be one dataset: none, one twice, or different columns."""
    _check_runs(runs)
    _check_schemas(runs)


def _check_runs(runs: Sequence[TaggedRun]) -> None:
    if not runs:
        raise InputError(Problem("", "runs", "at least one run", "none", "name a run directory"))
    seen: dict[str, TaggedRun] = {}
    problems = []
    for run in runs:
        run_id = read_manifest(run.run_dir).run_id
        other = seen.setdefault(run_id, run)
        if other is not run:
            problems.append(
                Problem(
                    str(run.run_dir),
                    "run_id",
                    "each run once, in one split",
                    f"run '{run_id}' in {run.split}, and in {other.split} from {other.run_dir}",
                    "leave one out; a model is judged on runs it has never seen",
                )
            )
    if problems:
        raise InputError(problems)


def _check_schemas(runs: Sequence[TaggedRun]) -> None:
    first, *others = runs
    wanted = _columns(first.flows)
    problems = []
    for run in others:
        got = _columns(run.flows)
        different = [name for name in wanted | got if wanted.get(name) != got.get(name)]
        if different:
            shown = ", ".join(different[:8]) + (", …" if len(different) > 8 else "")
            problems.append(
                Problem(
                    str(run.flows),
                    "",
                    f"the columns of {first.flows}",
                    f"other ones ({shown})",
                    "meter all runs with one version and one set of features",
                )
            )
    if problems:
        raise InputError(problems)


def _columns(flows: Path) -> dict[str, tuple[str, tuple[tuple[bytes, bytes], ...]]]:
    """Type and metadata of every column, by name."""
    return {
        field.name: (str(field.type), tuple(sorted((field.metadata or {}).items())))
        for field in read_flow_schema(flows)
    }
