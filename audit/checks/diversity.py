"""F: is there more than one flow of each class?"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np

from audit.data import AuditData, Bools, Objects, is_text
from audit.result import Finding, Threshold, at_least, at_most, check, nothing_to_measure

SIZES: Final = ("c2s_packets", "s2c_packets", "c2s_ip_bytes", "s2c_ip_bytes")
ANSWERED, SILENT = 0.5, 0.1  # share of flows with an answer, before a server stops and after
FEWEST: Final = 20  # flows of a class, to speak of its diversity
STOPPING: Final = 40  # flows, to see a server stop
TOO_FEW: Final = f"no class has {FEWEST} flows"


@check(
    "F1",
    "smallest share of a class that is left when nearly equal flows count once",
    remedy="vary the parameters of the class named in the spec: more variants, targets and sizes",
    needs=("labelled", "features"),
)
def effective_size(data: AuditData, allowed: Threshold) -> Finding:
    """Flows are nearly equal when their features besides those of time agree to two digits."""
    judged = data.labelled & _numerous(data)
    if not judged.any():
        return nothing_to_measure(TOO_FEW)
    label, near = data.label[judged], data.hashed.near[judged]
    shares = {}
    for name, size in Counter(label.tolist()).items():
        shares[name] = (len(np.unique(near[label == name])) / size, size)
    said = (
        f"{name}: {share * size:.0f} different of {size} ({100 * share:.1f} %)"
        for name, (share, size) in sorted(shares.items(), key=lambda item: item[1])
    )
    left = {name: share for name, (share, _) in shares.items()}
    return at_least(min(left.values()), allowed.limit, *said, culprits=left)


@check(
    "F2",
    "largest share of a class that one command of the launcher made",
    remedy="give the class five variants or more in the spec, and shorter sessions of each",
    needs=("labelled", "commands"),
)
def one_command(data: AuditData, allowed: Threshold) -> Finding:
    """Count the flows of each class by the command that made them: kind, variant and parameters.

    Sessions with equal ones are one command; where only sessions are known, each is one.
    """
    codes, names = data.codes("command")
    known = data.labelled & (codes >= 0) & _numerous(data)
    if not known.any():
        return nothing_to_measure(f"no flow has a command, or {TOO_FEW}")
    label = data.label[known]
    sizes = Counter(label.tolist())
    most = _most_frequent(label, codes[known])
    kinds = Counter(name for name, _ in set(zip(label.tolist(), codes[known], strict=True)))
    shares = {name: count / sizes[name] for name, (count, _) in most.items()}
    return at_most(
        max(shares.values()),
        allowed.limit,
        *(
            f"{name}: {100 * shares[name]:.1f} % by {names[most[name][1]]}, "
            f"{kinds[name]} commands in all"
            for name in sorted(shares, key=lambda name: -shares[name])
        ),
        culprits=shares,
    )


@check(
    "F6",
    "largest share of a class that has one and the same number of packets and bytes",
    remedy="look at the class named: a server that stopped answering, or one command for all users",
    needs=("labelled",),
)
def collapsed_classes(data: AuditData, allowed: Threshold) -> Finding:
    """Count packets and IP bytes of both directions together; look for servers that fell silent."""
    names = [name for name in SIZES if data.has(name)]
    if not {"c2s_packets", "c2s_ip_bytes"} <= set(names):
        return nothing_to_measure("no packet and byte counts")
    judged = data.labelled & _numerous(data)
    if not judged.any():
        return nothing_to_measure(TOO_FEW)
    columns = {name: data.values(name) for name in names}
    pair = np.stack(
        [
            sum((columns[name] for name in names if "packets" in name), np.zeros(len(data.label))),
            sum((columns[name] for name in names if "bytes" in name), np.zeros(len(data.label))),
        ]
    )[:, judged]
    distinct, code = np.unique(pair, axis=1, return_inverse=True)
    label = data.label[judged]
    sizes = Counter(label.tolist())
    most = _most_frequent(label, code)
    shares = {name: count / sizes[name] for name, (count, _) in most.items()}
    evidence = [
        f"{name}: {100 * shares[name]:.1f} % have {distinct[0, number]:.0f} packets and "
        f"{distinct[1, number]:.0f} bytes"
        for name, (_, number) in sorted(most.items(), key=lambda item: -shares[item[0]])
    ]
    silent = _fell_silent(data, columns)
    value = max(shares.values())
    failed = value > allowed.limit or silent
    over = {name: share for name, share in shares.items() if share > allowed.limit}
    return Finding("fail" if failed else "pass", value, (*silent, *evidence), over)


def _numerous(data: AuditData) -> Bools:
    """Rows of classes with enough of them."""
    sizes = Counter(data.label.tolist())
    return np.isin(data.label, [name for name, size in sizes.items() if size >= FEWEST])


def _most_frequent(label: Objects, codes: np.ndarray) -> dict[str, tuple[int, int]]:
    """Of each class how often its most frequent code occurs, and the code."""
    most: dict[str, tuple[int, int]] = {}
    for (name, code), count in Counter(zip(label.tolist(), codes.tolist(), strict=True)).items():
        most[name] = max(most.get(name, (0, 0)), (count, code))
    return most


def _fell_silent(data: AuditData, columns: dict[str, np.ndarray]) -> list[str]:
    """Classes of a run whose flows were answered at first and not towards the end."""
    if "s2c_packets" not in columns or not data.has("first_ns") or "run" not in data.context:
        return []
    if is_text(data.column("first_ns").type):
        return []
    runs, names = data.codes("run")
    begin = data.values("first_ns")
    found = []
    for name in sorted(set(data.label[data.labelled].tolist())):
        of_class = data.label == name
        for code in np.unique(runs[of_class & (runs >= 0)]):
            rows = np.flatnonzero(of_class & (runs == code))
            if len(rows) < STOPPING:
                continue
            answered = columns["s2c_packets"][rows[np.argsort(begin[rows], kind="stable")]] > 0
            early, late = answered[: len(rows) // 2], answered[-(len(rows) // 4) :]
            if early.mean() >= ANSWERED and late.mean() <= SILENT:
                found.append(f"{name}: hardly answered any more towards the end of {names[code]}")
    return found
