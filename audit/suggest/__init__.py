"""What to change in a topology or spec, so that a check that failed may pass the next time.

Every check is here: with the function that proposes changes, or with the reason why no change of
what is played in the lab helps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from audit.changes import combined
from audit.data import AuditData
from audit.result import CheckResult
from audit.suggest.case import Advice, Case, Scene, scenes
from audit.suggest.columns import constant
from audit.suggest.diversity import alike, one_command, strange_tools
from audit.suggest.load import dropped, proof, saturated, unjudged
from audit.suggest.overlaps import overlapping
from audit.suggest.shortcuts import apart, easy, telling

__all__ = ["ADVICE", "WITHOUT", "advised"]

ADVICE: Final[Mapping[str, Advice]] = {
    "A1": dropped,
    "A6": saturated,
    "B5": constant,
    "C1": proof,
    "C2": overlapping,
    "C3": unjudged,
    "C8": overlapping,
    "D2": telling,
    "D3": telling,
    "D4": easy,
    "D7": apart,
    "E1": alike,
    "E4": strange_tools,
    "F1": alike,
    "F2": one_command,
    "F3": alike,
    "F4": alike,
    "F6": alike,
}

_METER: Final = "the flow meter's part: no traffic mends it"
_LAUNCHER: Final = "the launcher writes it, whatever is played"
WITHOUT: Final[Mapping[str, str]] = {
    "A2": "captures are merged by the programs, whatever is played",
    "A3": "clocks are the machines', whatever is played",
    "A4": "what a capture point sees is the launcher's part",
    "A5": "the launcher turns segmentation offloads off, or the machine does not let it",
    **dict.fromkeys(("B1", "B2", "B3", "B4", "B6"), _METER),
    "C4": "a program that goes on after its session is the fault of its kind",
    "C5": "flows that are equal in all that is measured are one class, or need another feature",
    "C6": "the rules or the mapping write the labels",
    "C7": "a doubt proves nothing: look at the flows first",
    "C9": "evidence finds wrong labels: it takes a machine that records it",
    "D1": "roles of columns are set by the flow meter or the mapping",
    "D5": "to lean on one group of features is no fault of the traffic alone",
    "D6": "both runs play the same: what differs is the machine's load",
    "E2": "splits are given when a dataset is written",
    "E3": "scaling happens after the lab",
    "F5": "features that repeat each other are no fault of the traffic",
    "F7": "it informs",
    "G1": "a reference is not what a lab has to be like",
    "G2": "no topology lets a lab reach outside of it: report this",
    **dict.fromkeys(("H1", "H2", "H3"), _LAUNCHER),
    "H4": "it informs",
}
FOREIGN: Final = "the dataset does not carry the topology that was played"
EXHAUSTED: Final = "nothing is left in the topology that is known to help"


def advised(data: AuditData, results: Iterable[CheckResult]) -> tuple[CheckResult, ...]:
    """The results, those that failed with the changes they propose or why there are none."""
    played = scenes(data)
    return tuple(
        _advised(result, data, played) if result.verdict == "fail" else result for result in results
    )


def _advised(result: CheckResult, data: AuditData, played: tuple[Scene, ...]) -> CheckResult:
    if result.id not in ADVICE:
        why = WITHOUT.get(result.id, EXHAUSTED)
        return result.model_copy(update={"no_change": why})
    if not played:
        return result.model_copy(update={"no_change": FOREIGN})
    changes = combined(
        change
        for scene in played
        for change in ADVICE[result.id](Case(result, scene, spec=data.name))
    )
    why = "" if changes else EXHAUSTED
    return result.model_copy(update={"changes": changes, "no_change": why})
