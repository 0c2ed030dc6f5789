"""E, F: vary what a class does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from audit.changes import Change
from audit.suggest.case import Case
from audit.suggest.edits import more_sessions, more_variants, more_variety

SPARE: Final = 1.3  # more than needed: the longest session of a larger number is longer


def alike(case: Case) -> Iterator[Change]:
    """Give each class named the variants, limits, targets and hosts that the topology keeps from
    it.
    """
    for label, value in case.result.culprits.items():
        for activity in case.scene.of_class(label):
            yield from more_variety(case, activity, _why(case, label, value))


def one_command(case: Case) -> Iterator[Change]:
    """Give each class named the variants that the topology keeps from it; and more sessions, by as
    much as the largest command is too large, unless that was given more than once a run.
    """
    commands, names = case.data.codes("command")
    for label, share in case.result.culprits.items():
        rows = (case.data.label == label) & (commands >= 0)
        command = Counter(commands[rows].tolist()).most_common(1)[0][0]
        why = f"'{names[command]}' makes {100 * share:.0f} % of {label}"
        sessions, _ = case.data.codes("activity")
        made = set(sessions[rows & (commands == command)].tolist())
        again = len(made) > len(case.scene.runs)
        for activity in case.scene.of_class(label):
            yield from more_variants(case, activity, why)
            if not again:
                factor = SPARE * share / case.result.threshold
                yield from more_sessions(case, activity, factor, why)


def strange_tools(case: Case) -> Iterator[Change]:
    """Give activities whose tool is not known from the others the variants that the topology keeps
    from them.
    """
    if "tool" not in case.data.context:
        return
    tools, names = case.data.codes("tool")
    for code, tool in enumerate(names):
        if tool in case.result.culprits:
            made = set(case.scene.names[(tools == code) & case.scene.rows].tolist()) - {""}
            for activity in sorted(made & set(case.topology.activities)):
                said = f"{tool} is known in {100 * case.result.culprits[tool]:.0f} % without it"
                yield from more_variants(case, activity, said)


def _why(case: Case, label: str, value: float) -> str:
    words = {
        "E1": "{label}: {percent} % of the test flows have twins in training",
        "F1": "{label}: {percent} % is left when nearly equal flows count once",
        "F3": "{label} is worth {value} different flows",
        "F4": "{label}: the network explains {percent} % of what varies",
        "F6": "{label}: {percent} % have the same packets and bytes",
    }
    said = words.get(case.result.id, "{label}: {value}")
    return said.format(label=label, percent=f"{100 * value:.0f}", value=f"{value:.1f}")
