"""Specs and topologies with changes in them: new documents, which the ordinary loader reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from audit.changes import Change
from gsta.derive import derive, same
from gsta.order import Order, load_spec
from topologies.errors import InputError
from topologies.loader import LIBRARY


def order(folder: Path, **values: object) -> Order:
    path = folder / "given" / "spec.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({"name": "mine", "topology": "branch", **values}))
    return load_spec(path)


def change(at: str, old: object, new: object, **more: object) -> Change:
    where = {"document": "topology", "name": "branch", "at": at}
    what = {"old": old, "new": new, "check": "F2", "because": "so"}
    return Change.model_validate(where | what | more)


def test_a_topology_of_the_library_is_changed_in_a_copy(tmp_path: Path) -> None:
    library = (LIBRARY / "branch.yaml").read_bytes()
    old = order(tmp_path)
    new = derive(
        old,
        [
            change("activities.scanning.arrival.mean_s", 40, 20),
            change("activities.scanning.think_time.median_s", 1, 2),
            change("phases[1].duration_s", 40, 60),
            change("accept_checks.D2", None, "as elsewhere", document="spec", name="mine"),
        ],
        tmp_path / "made",
    )
    assert new.topologies[0].source.file == str(tmp_path / "made" / "topologies" / "branch.yaml")
    topology = new.topologies[0].model
    scanning = topology.activities["scanning"]
    assert (scanning.arrival.mean_s, scanning.think_time.median_s) == (20, 2)
    assert scanning.think_time.maximum_s == 10  # of the default that was written out
    assert [phase.duration_s for phase in topology.phases] == [5, 60, 15, 14]
    assert new.spec.model.accept_checks == {"D2": "as elsewhere"}
    assert (LIBRARY / "branch.yaml").read_bytes() == library
    assert not same(old, new)


def test_without_changes_everything_stays(tmp_path: Path) -> None:
    old = order(tmp_path, experiments={"seconds": 30})
    new = derive(old, [], tmp_path / "made")
    assert new.spec.model == old.spec.model
    assert same(old, new)


def test_a_run_that_the_spec_scales_is_changed_as_it_is_played(tmp_path: Path) -> None:
    old = order(tmp_path, experiments={"seconds": 37})
    new = derive(old, [change("phases[0].duration_s", 2.5, 4)], tmp_path / "made")
    assert new.spec.model.experiments.seconds is None
    assert [phase.duration_s for phase in new.topologies[0].model.phases] == [4, 20, 7.5, 7]


def test_files_that_spec_and_topology_name_are_found_from_the_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    values = yaml.safe_load((LIBRARY / "pair.yaml").read_text())
    values["services"]["talk"] = {"kind": "sink", "host": "server"}
    values["activities"]["talking"] = {
        "kind": "inject",
        "hosts": ["client"],
        "services": ["talk"],
        "params": {"profiles": ["own.yaml"]},
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    profile = next(iter(sorted(Path("launcher/injection/library").glob("*.yaml"))))
    (folder / "own.yaml").write_bytes(profile.read_bytes())
    (folder / "rules.yaml").write_bytes(Path("tagger/rules/traffic.yaml").read_bytes())
    old = order(tmp_path, topology=["mine.yaml", "branch"], rules="rules.yaml")
    new = derive(
        old, [change("phases[0].duration_s", 15, 20, name="pair")], tmp_path / "elsewhere" / "made"
    )
    pair, branch = new.topologies
    assert pair.model.phases[0].duration_s == 20
    assert pair.model.activities["talking"].params == {"profiles": [str(folder / "own.yaml")]}
    assert branch.source.file == str(LIBRARY / "branch.yaml")
    assert new.rules.source.file == str(folder / "rules.yaml")


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (change("name", "x", "y", name="office"), "expected the topology branch, got 'office'"),
        (change("name", "x", "y", document="spec"), "expected the spec mine, got 'branch'"),
        (change("activities.scanning.hosts", ["alice", "bob"], ["eve"]), "got 'eve'"),
        (change("activities.scanning.user", None, 3), "activities.scanning.user: expected"),
        (change("phases[0].duration_s", 5, -1), "phases[0].duration_s: expected"),
        (change("search.trials", 12, 0, document="spec", name="mine"), "search.trials: expected"),
        (
            change("activities.scanning.params.max_ports", 20, 0),
            "activities.scanning.params.max_ports: expected",
        ),
    ],
)
def test_what_comes_of_a_patch_has_to_be_sound(tmp_path: Path, one: Change, says: str) -> None:
    with pytest.raises(InputError) as error:
        derive(order(tmp_path), [one], tmp_path / "made")
    assert says in str(error.value)
    assert not (tmp_path / "made").exists()
