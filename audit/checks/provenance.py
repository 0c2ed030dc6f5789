"""H: is it known where all of it is from, does a seed repeat it, and does the card say so?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

import numpy as np

from audit.card import card_texts
from audit.card.responsible import REQUIRED
from audit.card.wording import number
from audit.data import AuditData
from audit.distance import between, unit_ranks
from audit.result import CheckResult, Finding, Threshold, at_most, check, nothing_to_measure
from tagger import RunFacts
from tagger.gather import NOT_KEPT
from tagger.summary import topology_file
from topologies.files import sha256_file

VERSIONS: Final = ("python", "source")
MACHINE: Final = ("cpus", "memory_mb", "kernel")
PAGES: Final = ("card.md", "card.html")


@check(
    "H1",
    "facts of a run's origin that are not recorded",
    remedy="run the lab and tag its runs with this version, which records what is named",
    needs=("lineage", "facts"),
)
def provenance(data: AuditData, allowed: Threshold) -> Finding:
    """Resolved topology, seed, image digests, versions of tools and source, the machine, and the
    SHA-256 of every capture that was kept.
    """
    known = {run.run_id: run for run in data.facts}
    missing = [
        f"{run.run_id}: nothing but its flows"
        for run in data.summary.runs
        if run.run_id not in known
    ]
    missing += [f"{run.run_id}: {what}" for run in data.facts for what in _lacking(run)]
    if data.folder is not None:
        for line in data.summary.runs:
            path = topology_file(data.folder, line)
            if not path.is_file() or sha256_file(path) != line.topology_sha256:
                missing.append(f"{line.run_id}: the topology that it ran")
    if "source" not in data.summary.versions:
        missing.append("the revision of the source that labelled the flows")
    return at_most(len(missing), allowed.limit, f"{len(known)} runs", *missing)


def _lacking(run: RunFacts) -> Iterator[str]:
    """What is not known of a run."""
    if not run.topology_sha256:
        yield "the digest of its topology"
    if run.backend.startswith("docker") and not run.images:
        yield "the images of its hosts"
    yield from (
        f"the digest of image {name}" for name, told in run.images.items() if "sha256:" not in told
    )
    yield from (f"the version of {name}" for name in VERSIONS if not run.versions.get(name))
    yield from (f"the machine's {name}" for name in MACHINE if not run.machine.get(name))
    yield from (
        f"the SHA-256 of the capture of {capture.network}"
        for capture in run.captures
        if not capture.sha256 and capture.note != NOT_KEPT
    )


@check(
    "H2",
    "distance between runs of one topology and seed (Jensen-Shannon, mean of classes and features)",
    remedy=(
        "a seed should fix what happens: look at what differs between the runs named (the load of "
        "the machine, an activity that takes its own chance)"
    ),
    needs=("lineage", "classes"),
)
def repeatable(data: AuditData, allowed: Threshold) -> Finding:
    """Compare the flows of each pair of runs of one topology. The same seed has to come near, and
    nearer than another seed; another seed has to differ.
    """
    if "run" not in data.context:
        return nothing_to_measure("the table does not tell its runs apart")
    ranks = unit_ranks(data)
    codes, names = data.codes("run")
    place = {name: code for code, name in enumerate(names)}
    same: list[float] = []
    others: list[float] = []
    said: list[str] = []
    for one, other in combinations(data.summary.runs, 2):
        there = one.run_id in place and other.run_id in place
        if not there or one.topology_sha256 != other.topology_sha256:
            continue
        sides = [
            np.flatnonzero(codes[data.sample.rows] == place[run.run_id]) for run in (one, other)
        ]
        distance = between(data, ranks, *sides)
        if distance is not None:
            (same if one.seed == other.seed else others).append(distance)
            kind = "the same seed" if one.seed == other.seed else "another seed"
            said.append(f"{one.run_id} and {other.run_id}, {kind}: {distance:.3f}")
    if not same:
        said.append(
            "no two runs have one topology and seed: run one twice to see what a seed fixes"
        )
        if not others:
            return nothing_to_measure(said[-1])
    failed = bool(same) and max(same) > allowed.limit
    failed |= bool(others) and min(others) < allowed.also["another"]
    failed |= bool(same and others) and max(same) > max(others)
    value = max(same) if same else None
    return Finding("fail" if failed else "pass", value, tuple(said))


@check(
    "H3",
    "parts of the card that are missing: fields of its metadata, results of checks",
    remedy="write the dataset again from its runs with this version, and audit it",
    needs=("lineage", "flows"),
)
def card_complete(data: AuditData, allowed: Threshold) -> Finding:
    """Make the card with a mark for the result of every check, failed ones too, and look for each
    mark on both pages; look for every field of Croissant's RAI vocabulary in the metadata.
    """
    from audit.checks import all_checks  # which knows this module

    marks = [
        CheckResult(
            id=one.id,
            severity="B",
            title=one.title,
            value=1_000 + place,
            threshold=0,
            verdict="fail",
            evidence=(f"mark {place} of {one.id}",),
            remedy=one.remedy,
        )
        for place, one in enumerate(all_checks().values())
    ]
    texts, metadata = card_texts(data.folder, data, marks, released=False)
    missing = [f"croissant.json: {name}" for name in REQUIRED if not metadata.get(name)]
    if not data.summary.runs:
        missing.append("the runs that it was made of")
    missing += [
        f"{page}: {mark.id}"
        for page in PAGES
        for mark in marks
        if mark.evidence[0] not in texts[page] or number(mark.value) not in texts[page]
    ]
    return at_most(
        len(missing),
        allowed.limit,
        f"{len(REQUIRED)} fields of metadata, results of {len(marks)} checks on {len(PAGES)} pages",
        *missing,
    )
