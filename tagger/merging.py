"""Makes one dataset of several, and says why where that would mix what does not go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from tagger.activities import ACTIVITIES
from tagger.agreement import combined
from tagger.folders import copy_files, digests, replacing_folder
from tagger.oracle import LISTED
from tagger.sources import check_out, require_whole
from tagger.summary import (
    ACTIVITIES_FILE,
    LABELS_FILE,
    SPLITS_FILE,
    SUMMARY,
    DatasetSummary,
    RunLineage,
    Split,
    Splitting,
    flows_file,
)
from topologies.errors import InputError, Problem
from topologies.files import write_json

TABLES: Final = (LABELS_FILE, SPLITS_FILE, ACTIVITIES_FILE)
Source = tuple[Path, DatasetSummary]


def merge_datasets(sources: Sequence[Path], out: Path, name: str) -> DatasetSummary:
    """Write the flows of several datasets, in their order, as one; every run keeps its split.

    Raises
    ------
    InputError
        One is damaged; columns, units, labels, rules or kinds of split differ; a run is in two
        of them, or a group that stays together would be in two splits.
    """
    read = [(source, require_whole(source)) for source in sources]
    if len(read) < 2:
        raise InputError(
            Problem("", "datasets", "two or more datasets", str(len(read)), "name the others")
        )
    check_out(out)
    problems = [problem for other in read[1:] for problem in _differences(read[0], other)]
    if problems := [*problems, *_repeated(read), *_torn(read)]:
        raise InputError(problems)
    with replacing_folder(out) as folder:
        for source, summary in read:
            named = [file for file in summary.files if file not in TABLES]
            copy_files(source, folder, [n for n in named if not (folder / n).exists()])
        for table in TABLES:
            parts = [pq.read_table(s / table) for s, summary in read if table in summary.files]
            if parts:
                joined = pa.concat_tables(parts)
                if table == ACTIVITIES_FILE:
                    joined = joined.cast(ACTIVITIES)  # Parquet names the items of lists otherwise
                pq.write_table(joined, folder / table, compression="zstd")
        merged = _merged([summary for _, summary in read], name, folder)
        write_json(folder / SUMMARY, merged.model_dump(mode="json"))
    return merged


# -- what does not go together -----------------------------------------------------------------


def _differences(first: Source, other: Source) -> Iterator[Problem]:
    """How another dataset differs from the first in what all must share."""
    (source, wanted), (place, got) = first, other
    yield from _columns(first, other)
    if wanted.rules != got.rules or wanted.vocabulary != got.vocabulary:
        odd = next(
            (n for n in [*wanted.vocabulary, *got.vocabulary]
             if wanted.vocabulary.get(n) != got.vocabulary.get(n)), ""
        )  # fmt: skip
        yield Problem(
            str(place),
            f"label '{odd}'" if odd else "rules",
            f"the labels and rules of {source} ({wanted.rules.name}, {wanted.rules.sha256[:12]})",
            f"others ({got.rules.name}, {got.rules.sha256[:12]})",
            "label the runs of both with the same rules",
        )
    if wanted.splitting.by != got.splitting.by:
        yield Problem(
            str(place),
            "splitting",
            f"splits by {wanted.splitting.by}, as in {source}",
            f"splits by {got.splitting.by}",
            "split one of them as the other is, with gsta dataset split",
        )


def _columns(first: Source, other: Source) -> Iterator[Problem]:
    """The first column in which their flow tables differ, in name, type, unit or meaning."""
    for one, two in zip_longest(_schema(first), _schema(other)):
        if one is not None and two is not None and one.equals(two, check_metadata=True):
            continue
        yield Problem(
            str(other[0]),
            f"column '{(two or one).name}'",
            f"{_described(one)}, as in {first[0]}",
            _described(two),
            "meter the runs of both with one version and one set of features",
        )
        return


def _schema(source: Source) -> list[pa.Field]:
    folder, summary = source
    return list(pq.read_schema(flows_file(folder, summary.runs[0].run_id)))


def _described(field: pa.Field | None) -> str:
    if field is None:
        return "no such column"
    said = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    unit = f" in {said['unit']}" if said.get("unit") else ""
    more = "".join(f", {key} {said[key]}" for key in ("role", "group") if said.get(key))
    return f"{field.name} ({field.type}{unit}{more})"


def _repeated(read: Sequence[Source]) -> Iterator[Problem]:
    """Runs that are there twice, under whatever name."""
    by_id: dict[str, Path] = {}
    by_table: dict[str, tuple[Path, str]] = {}
    for place, summary in read:
        for run in summary.runs:
            same = by_table.setdefault(run.flow_table_sha256, (place, run.run_id))
            if (first := by_id.setdefault(run.run_id, place)) is not place:
                yield _twice(place, f"run '{run.run_id}', which is in {first} too")
            elif same != (place, run.run_id):
                yield _twice(place, f"run '{run.run_id}' with the flows of '{same[1]}', {same[0]}")


def _twice(place: Path, got: str) -> Problem:
    remedy = "leave one out: flows that are there twice would be learnt and tested on"
    return Problem(str(place), "runs", "each run once", got, remedy)


def _torn(read: Sequence[Source]) -> Iterator[Problem]:
    """Topologies or hosts that would be in two splits; of runs and their windows see above."""
    sides: dict[str, tuple[Split, Path]] = {}
    shared = [(place, s) for place, s in read if s.splitting.by in ("topology", "host")]
    for place, summary in shared:
        for group in summary.splitting.groups:
            split, first = sides.setdefault(group.name, (group.split, place))
            if split != group.split:
                yield Problem(
                    str(place),
                    "splitting",
                    f"{summary.splitting.by} '{group.name}' in {split}, as in {first}",
                    f"in {group.split}",
                    "split one of them again, with this group named",
                )


# -- summary -----------------------------------------------------------------------------------


def _merged(parts: Sequence[DatasetSummary], name: str, folder: Path) -> DatasetSummary:
    first = parts[0]
    classes: dict[Split, Counter[str]] = {}
    for part in parts:
        for split, counts in part.classes.items():
            classes.setdefault(split, Counter()).update(counts)
    left_out = sum((Counter(part.left_out) for part in parts), Counter[str]())
    return first.model_copy(
        update={
            "name": name,
            "flows": sum(part.flows for part in parts),
            "splitting": _splitting([part.splitting for part in parts]),
            "classes": {split: _ordered(first, counts) for split, counts in classes.items()},
            "left_out": _ordered(first, left_out),
            "unlabelled": sum(part.unlabelled for part in parts),
            "ambiguous": sum(part.ambiguous for part in parts),
            "duplicate_observations": sum(part.duplicate_observations for part in parts),
            "quality": combined((part.quality for part in parts), listed=LISTED),
            "runs": tuple[RunLineage, ...](chain.from_iterable(part.runs for part in parts)),
            "files": digests(folder),
        }
    )


def _ordered(first: DatasetSummary, counts: Counter[str]) -> dict[str, int]:
    return {label: counts[label] for label in first.vocabulary if counts[label]}


def _splitting(parts: Sequence[Splitting]) -> Splitting:
    """What is common to all, and the groups of all; a group of several datasets counts once."""
    groups: dict[str, int] = Counter()
    sides = {group.name: group for part in parts for group in part.groups}
    for part in parts:
        for group in part.groups:
            groups[group.name] += group.flows
    same = all((part.shares, part.seed) == (parts[0].shares, parts[0].seed) for part in parts)
    return Splitting(
        by=parts[0].by,
        shares=parts[0].shares if same else {},
        seed=parts[0].seed if same else None,
        groups=tuple(
            group.model_copy(update={"flows": groups[name]}) for name, group in sides.items()
        ),
        left_out=sum(part.left_out for part in parts),
    )
