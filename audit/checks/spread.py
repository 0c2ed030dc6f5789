"""F: how wide are the classes, how do runs differ, and how many numbers say the same?"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from audit.data import AuditData, Context, Floats, Ints, is_text
from audit.distance import FEWEST, jensen_shannon, unit_ranks
from audit.result import Finding, Threshold, at_least, at_most, check, nothing_to_measure

VENDI_ROWS: Final = 400  # of a class; the score takes their eigenvalues
WIDTH: Final = 0.05  # mean distance of ranks at which two flows count as different
CORRELATED: Final = 0.98
CORRELATION_ROWS: Final = 5_000
COUNTED: Final[tuple[Context, ...]] = ("host", "target", "tool", "command")


@check(
    "F3",
    "smallest number of effectively different flows in a class (Vendi score)",
    remedy="give the class named more tools, parameter sets, hosts and targets in the spec",
    needs=("classes",),
)
def spread_of_classes(data: AuditData, allowed: Threshold) -> Finding:
    """Vendi score (the exponential of the entropy of a similarity matrix's eigenvalues) by class,
    with distinct hosts, targets, tools and commands (a tool with its parameters), how long flows
    last, and the Jensen-Shannon distance between runs.
    """
    sample = data.sample
    ranks, lasts_s = unit_ranks(data), _lasts_s(data)
    scores, evidence = {}, []
    for code, name in enumerate(sample.labels):
        rows = np.flatnonzero(sample.classes == code)
        scores[name] = vendi_score(ranks[rows[:: max(1, len(rows) // VENDI_ROWS)]])
        evidence.append(f"{name}: Vendi {scores[name]:.1f} of {len(rows)}{_distinct(data, rows)}")
        if lasts_s is not None:
            low, high = np.quantile(lasts_s[rows], (0.1, 0.9))
            evidence[-1] += f", lasting {low:.3g} to {high:.3g} s (10th to 90th percentile)"
    evidence += _between_runs(data, ranks)
    return at_least(min(scores.values()), allowed.limit, *evidence, culprits=scores)


def vendi_score(points: Floats) -> float:
    """Effective number of different rows in ``points`` [rows, features], each from 0 to 1."""
    from scipy.spatial.distance import cdist

    distance = cdist(points, points, "cityblock")
    similar = np.exp(-distance / max(points.shape[1], 1) / WIDTH)
    shares = np.linalg.eigvalsh(similar / len(points))
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _distinct(data: AuditData, rows: Ints) -> str:
    said = ""
    for what in COUNTED:
        if what in data.context:
            codes = data.codes(what)[0][data.sample.rows[rows]]
            said += f", {len(np.unique(codes[codes >= 0]))} {what}s"
    return said


def _lasts_s(data: AuditData) -> Floats | None:
    """Seconds that the sample's flows last, if that is known."""
    if not data.has("first_ns", "last_ns") or is_text(data.column("first_ns").type):
        return None
    first, last = (data.values(name)[data.sample.rows] for name in ("first_ns", "last_ns"))
    return np.asarray((last - first) / 1e9, dtype=np.float64)


def _between_runs(data: AuditData, ranks: Floats) -> list[str]:
    """Of each class the mean Jensen-Shannon distance of features between its two largest runs."""
    if "run" not in data.context:
        return []
    sample = data.sample
    run = data.codes("run")[0][sample.rows]
    said = []
    for code, name in enumerate(sample.labels):
        sizes = np.bincount(run[(sample.classes == code) & (run >= 0)], minlength=2)
        one, other = np.argsort(-sizes, kind="stable")[:2]
        if sizes[other] < FEWEST:
            continue
        sides = [ranks[(sample.classes == code) & (run == side)] for side in (one, other)]
        distance = jensen_shannon(*sides)
        said.append(f"{name}: Jensen-Shannon distance between runs {distance:.3f}")
    return said


@check(
    "F4",
    "share of the features' variance inside a class that the impairment of the network explains",
    remedy="vary what the programs do as well: settings of a link alone make no other behaviour",
    needs=("classes", "impairments"),
)
def impaired_only(data: AuditData, allowed: Threshold) -> Finding:
    """Between-settings variance over all variance of each feature's ranks, mean over classes."""
    sample, ranks = data.sample, unit_ranks(data)
    setting = data.codes("impairment")[0][sample.rows]
    shares = {}
    for code, name in enumerate(sample.labels):
        rows = np.flatnonzero((sample.classes == code) & (setting >= 0))
        if len(np.unique(setting[rows])) > 1:
            shares[name] = _explained(ranks[rows], setting[rows])
    if not shares:
        return nothing_to_measure("no class was seen under two impairments")
    said = (f"{name}: {100 * share:.1f} %" for name, share in shares.items())
    return at_most(max(shares.values()), allowed.limit, *said, culprits=shares)


def _explained(values: Floats, setting: Ints) -> float:
    """Mean share of the columns' variance that lies between the settings."""
    whole = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
    between = np.zeros(values.shape[1])
    for code in np.unique(setting):
        rows = values[setting == code]
        between += len(rows) * (rows.mean(axis=0) - values.mean(axis=0)) ** 2
    varying = whole > 0
    return float((between[varying] / whole[varying]).mean()) if varying.any() else 0.0


@check(
    "F5",
    "share of the features that nearly repeat another (absolute rank correlation above 0.98)",
    remedy="keep one feature of each cluster: the others cost time and blur what a model leans on",
    needs=("classes",),
)
def correlated(data: AuditData, allowed: Threshold) -> Finding:
    """Cluster features by correlation; the effective dimension is (sum of eigenvalues)² over the
    sum of their squares.
    """
    from scipy.sparse.csgraph import connected_components

    ranks = unit_ranks(data)
    ranks = ranks[:: max(1, len(ranks) // CORRELATION_ROWS)]
    varying = np.flatnonzero(ranks.std(axis=0) > 0)
    if len(varying) < 2:
        return nothing_to_measure("fewer than two features that vary")
    matrix = np.corrcoef(ranks[:, varying], rowvar=False)
    count, cluster = connected_components(np.abs(matrix) > CORRELATED, directed=False)
    names = [field.name for field in data.features]
    together = _clusters(cluster, varying, names)
    eigenvalues = np.linalg.eigvalsh(matrix)
    dimension = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    return at_most(
        1 - count / len(varying),
        allowed.limit,
        f"{len(varying)} features that vary, {count} clusters, effective dimension {dimension:.1f}",
        *together,
    )


def _clusters(cluster: npt.NDArray[np.int32], varying: Ints, names: list[str]) -> list[str]:
    members = [[names[varying[k]] for k in np.flatnonzero(cluster == c)] for c in set(cluster)]
    return [", ".join(some) for some in sorted(members, key=len, reverse=True) if len(some) > 1]
