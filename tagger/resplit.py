"""Parts a dataset anew: a new dataset, or other splits for the same one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tagger.activities import read_activities
from tagger.dataset import SPLITS
from tagger.folders import copy_files, digests, replacing_folder
from tagger.rulebook import AMBIGUOUS, UNLABELLED
from tagger.sources import check_out, require_whole
from tagger.splitting import Flows, SplitPlan, Strings, names_of, split_flows
from tagger.summary import (
    LABELS_FILE,
    SPLIT_ORDER,
    SPLITS_FILE,
    SUMMARY,
    DatasetSummary,
    RunLineage,
    Split,
    SplitGroup,
    Splitting,
    flows_file,
)
from topologies.files import write_json


def split_dataset(dataset_dir: Path, plan: SplitPlan, out: Path | None = None) -> DatasetSummary:
    """Part a dataset's flows by a plan; the same dataset and plan give the same splits.

    Parameters
    ----------
    dataset_dir
        A dataset directory.
    plan
        How to part it.
    out
        Where the new dataset goes; None: it takes the place of the old one. Either way it is
        written whole or not at all, and without audit and card, which were about other splits.

    Raises
    ------
    InputError
        The dataset is damaged, ``out`` is something else than a dataset, or the plan does not fit.
    """
    summary = require_whole(dataset_dir)
    target = out or dataset_dir
    check_out(target)
    labels = pq.read_table(dataset_dir / LABELS_FILE, columns=["flow_id", "label", "activity_id"])
    flows = _flows(dataset_dir, summary, plan, labels)
    split, group = split_flows(flows, plan)
    with replacing_folder(target) as folder:
        kept = [name for name in summary.files if name != SPLITS_FILE]
        copy_files(dataset_dir, folder, kept, link=target == dataset_dir)
        sides = pa.array([side or "" for side in split], pa.string())
        table = pa.table([labels["flow_id"], pa.array(flows.run), sides], schema=SPLITS)
        pq.write_table(table, folder / SPLITS_FILE, compression="zstd")
        new = _summary(
            folder,
            summary,
            plan,
            run=flows.run,
            label=labels["label"].to_pylist(),
            split=split,
            group=group,
        )
        write_json(folder / SUMMARY, new.model_dump(mode="json"))
    return new


def _flows(dataset_dir: Path, summary: DatasetSummary, plan: SplitPlan, labels: pa.Table) -> Flows:
    parts = [
        pq.ParquetFile(flows_file(dataset_dir, run.run_id)).read(
            columns=["src_ip", "first_ns", "last_ns"]
        )
        for run in summary.runs
    ]
    table = pa.concat_tables(parts)
    of_run = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    owner = names_of(labels["activity_id"].to_pylist())
    ids = np.array([run.run_id for run in summary.runs], dtype=object)
    topologies = np.array([run.topology for run in summary.runs], dtype=object)
    run, topology = ids[of_run], topologies[of_run]
    group = {"run": run, "time": run, "topology": topology}.get(plan.by)
    if group is None:
        hosts = _hosts(dataset_dir, run, owner, table["src_ip"].to_pylist())
        group = np.array([f"{t}/{h}" for t, h in zip(topology, hosts, strict=True)], dtype=object)
    return Flows(
        run=run,
        owner=owner if plan.by in ("host", "time") else np.full(len(run), "", dtype=object),
        group=group,
        first_ns=table["first_ns"].to_numpy(),
        last_ns=table["last_ns"].to_numpy(),
    )


def _hosts(dataset_dir: Path, run: Strings, owner: Strings, source: list[str]) -> list[str]:
    """The host whose activity a flow is of; without one, the host or address that began it."""
    acting: dict[tuple[str, str], str] = {}
    at: dict[tuple[str, str], str] = {}
    for row in read_activities(dataset_dir).to_pylist():
        acting[row["run_id"], row["activity_id"]] = row["host"]
        for address in row["addresses"]:
            at.setdefault((row["run_id"], address), row["host"])
    return [
        acting.get((r, o)) or at.get((r, s), s) for r, o, s in zip(run, owner, source, strict=True)
    ]


# -- summary -----------------------------------------------------------------------------------


def _summary(
    folder: Path,
    old: DatasetSummary,
    plan: SplitPlan,
    *,
    run: Strings,
    label: list[str],
    split: Strings,
    group: Strings,
) -> DatasetSummary:
    used = [name for name in SPLIT_ORDER if name in set(split)]
    sizes = Counter(zip(group, split, strict=True))
    decided = [name if name not in (UNLABELLED, AMBIGUOUS) else None for name in label]
    counts = Counter(zip(split, decided, strict=True))
    whole = {one.run_id: set(split[run == one.run_id].tolist()) for one in old.runs}
    return old.model_copy(
        update={
            "splitting": Splitting(
                by=plan.by,
                shares=dict(plan.shares),
                seed=plan.seed if plan.shares and plan.by != "time" else None,
                groups=tuple(
                    SplitGroup(name=name, split=side, flows=count)
                    for (name, side), count in sorted(sizes.items(), key=lambda item: str(item[0]))
                    if side is not None
                ),
                left_out=int(sum(one is None for one in split)),
            ),
            "classes": {side: _of_split(old, counts, side) for side in used},
            "left_out": _of_split(old, counts, None),
            "runs": tuple(_moved(one, whole[one.run_id]) for one in old.runs),
            "files": digests(folder),
        }
    )


def _of_split(
    old: DatasetSummary, counts: Counter[tuple[Split | None, str | None]], split: Split | None
) -> dict[str, int]:
    return {name: counts[split, name] for name in old.vocabulary if counts[split, name]}


def _moved(run: RunLineage, splits: set[Split | None]) -> RunLineage:
    only = next(iter(splits)) if len(splits) == 1 else None
    return run.model_copy(update={"split": only})
