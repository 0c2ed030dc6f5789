"""F: is there more than one flow of each class?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from audit.data import AuditData, Bools, Ints, is_text
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
    codes, names = data.label_codes
    shares = {}
    for code in _in_order(codes[judged]):
        near = data.hashed.near[judged & (codes == code)]
        shares[names[code]] = (len(np.unique(near)) / len(near), len(near))
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
    most = _most_frequent(data, known, codes[known])
    shares = {name: one.count / one.flows for name, one in most.items()}
    return at_most(
        max(shares.values()),
        allowed.limit,
        *(
            f"{name}: {100 * shares[name]:.1f} % by {names[most[name].code]}, "
            f"{most[name].different} commands in all"
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
    distinct, code = np.unique(pair[0] + 1j * pair[1], return_inverse=True)
    most = _most_frequent(data, judged, code)
    shares = {name: one.count / one.flows for name, one in most.items()}
    evidence = [
        f"{name}: {100 * shares[name]:.1f} % have {distinct[one.code].real:.0f} packets and "
        f"{distinct[one.code].imag:.0f} bytes"
        for name, one in sorted(most.items(), key=lambda item: -shares[item[0]])
    ]
    silent = _fell_silent(data, columns)
    value = max(shares.values())
    failed = value > allowed.limit or silent
    over = {name: share for name, share in shares.items() if share > allowed.limit}
    return Finding("fail" if failed else "pass", value, (*silent, *evidence), over)


def _numerous(data: AuditData) -> Bools:
    """Rows of classes with enough of them."""
    codes, _ = data.label_codes
    return np.asarray((np.bincount(codes) >= FEWEST)[codes], dtype=np.bool_)


def _in_order(codes: Ints) -> list[int]:
    """The different codes, in the order in which they occur."""
    different, first = np.unique(codes, return_index=True)
    return [int(code) for code in different[np.argsort(first)]]


@dataclass(frozen=True, slots=True)
class _Most:
    """A class's most frequent code, how many flows have it, and how many codes and flows it has."""

    code: int
    count: int
    different: int
    flows: int


def _most_frequent(data: AuditData, rows: Bools, codes: Ints) -> dict[str, _Most]:
    """Of each class among some rows the most frequent one of their codes."""
    classes, names = data.label_codes
    label = classes[rows]
    most = {}
    for one in _in_order(label):
        counts = np.bincount(codes[label == one])
        code = len(counts) - 1 - int(counts[::-1].argmax())  # of equals the last
        different, flows = int((counts > 0).sum()), int(counts.sum())
        most[names[one]] = _Most(code, int(counts[code]), different, flows)
    return most


def _fell_silent(data: AuditData, columns: dict[str, np.ndarray]) -> list[str]:
    """Classes of a run whose flows were answered at first and not towards the end."""
    if "s2c_packets" not in columns or not data.has("first_ns") or "run" not in data.context:
        return []
    if is_text(data.column("first_ns").type):
        return []
    runs, names = data.codes("run")
    begin = data.values("first_ns")
    classes, labels = data.label_codes
    found = []
    for one in np.unique(classes[data.labelled]):
        name, of_class = labels[one], classes == one
        for code in np.unique(runs[of_class & (runs >= 0)]):
            rows = np.flatnonzero(of_class & (runs == code))
            if len(rows) < STOPPING:
                continue
            answered = columns["s2c_packets"][rows[np.argsort(begin[rows], kind="stable")]] > 0
            early, late = answered[: len(rows) // 2], answered[-(len(rows) // 4) :]
            if early.mean() >= ANSWERED and late.mean() <= SILENT:
                found.append(f"{name}: hardly answered any more towards the end of {names[code]}")
    return found
