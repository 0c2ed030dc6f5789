"""Patches: what changes do to plain values, how they go together, what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.changes import Change, changed, combined
from audit.patch import Patch, read_patch, write_patch
from topologies.errors import InputError

VALUES = {"activities": {"scanning": {"hosts": ["a"], "params": {}}}, "phases": [{"duration_s": 5}]}


def change(at: str, old: object, new: object, check: str = "F2", **more: object) -> Change:
    where = {"document": "topology", "name": "small", "at": at}
    what = {"old": old, "new": new, "check": check, "because": f"{check} says so"}
    return Change.model_validate(where | what | more)


def test_changes_are_put_where_they_say_and_the_values_stay() -> None:
    made = changed(
        VALUES,
        [
            change("activities.scanning.hosts", ["a"], ["a", "b"]),
            change("activities.scanning.params.variants", None, ["slow"]),
            change("phases[0].duration_s", 5, 8.0),
        ],
    )
    assert made == {
        "activities": {"scanning": {"hosts": ["a", "b"], "params": {"variants": ["slow"]}}},
        "phases": [{"duration_s": 8.0}],
    }
    assert VALUES["phases"] == [{"duration_s": 5}]
    assert changed(made, [change("phases[0].duration_s", 5, 8.0)]) == made


def test_a_patch_is_read_as_it_was_written(tmp_path: Path) -> None:
    patch = Patch(
        dataset="mine",
        changes=(change("phases[0].duration_s", 5, 8.0),),
        choices=(change("accept_checks.D2", None, "why", "D2", document="spec"),),
        unchanged={"C6": "the rules write the labels"},
    )
    write_patch(tmp_path / "patch.yaml", patch)
    assert read_patch(tmp_path / "patch.yaml").model == patch
    text = (tmp_path / "patch.yaml").read_text()
    assert text.startswith("# What an audit proposes.")
    assert "\n  decide:" not in text


@pytest.mark.parametrize(
    ("at", "old", "says"),
    [
        ("phases[0].duration_s", 6, "what stands at phases[0].duration_s of topology 'small': 5"),
        ("phases[3].duration_s", None, "a place in topology 'small', got phases[3].duration_s"),
        ("phases.name", None, "a place in topology 'small', got phases.name"),
    ],
)
def test_a_wrong_change_is_an_error_with_the_line(
    tmp_path: Path, at: str, old: object, says: str
) -> None:
    path = tmp_path / "patch.yaml"
    write_patch(path, Patch(changes=(change(at, old, 7),)))
    patch = read_patch(path)
    with pytest.raises(InputError) as error:
        changed(VALUES, patch.model.changes, patch.source)
    (problem,) = error.value.problems
    assert (problem.file, problem.line is not None) == (str(path), True)
    assert says in str(problem)


def test_changes_of_one_place_become_one() -> None:
    hosts = "activities.scanning.hosts"
    one, other = combined(
        [
            change(hosts, ["a"], ["a", "b"], "D7"),
            change("phases[0].duration_s", 5, 8.0, "C1"),
            change(hosts, ["a"], ["a", "c"], "F1"),
            change("phases[0].duration_s", 5, 20.0, "A1"),
        ]
    )
    assert (one.new, one.check, one.because) == (
        ["a", "b", "c"],
        "D7, F1",
        "D7 says so; F1 says so",
    )
    assert (other.new, other.check) == (20.0, "C1, A1")


def test_of_changes_that_contradict_each_other_the_first_counts() -> None:
    slower = change("activities.scanning.arrival.mean_s", 10, 20, "C2")
    faster = change("activities.scanning.arrival.mean_s", 10, 5, "F2")
    fewer = change("activities.scanning.services", ["a", "b"], ["a"], "C2")
    more = change("activities.scanning.services", ["a", "b"], ["a", "b", "c"], "F1")
    assert combined([slower, faster, fewer, more]) == (slower, fewer)
