"""Specs of one topology and of several: which labs they ask for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gsta.experiments import plan_experiments
from gsta.order import load_spec
from topologies.errors import InputError


def spec(folder: Path, **values: object) -> Path:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", **values}))
    return path


def test_one_topology_asks_for_a_run_to_train_on_and_one_to_test(tmp_path: Path) -> None:
    order = load_spec(spec(tmp_path, topology="pair"))
    train, test = plan_experiments(order, tmp_path / "mine-1")
    assert (train.run_dir.name, test.run_dir.name) == ("mine-1-train", "mine-1-test")
    assert (train.split, train.seed, test.split, test.seed) == ("train", 1, "test", 2)
    assert train.topology.model.duration_s == order.topologies[0].model.duration_s


def test_several_topologies_ask_for_both_runs_of_each_and_one_of_those_unseen(
    tmp_path: Path,
) -> None:
    path = spec(
        tmp_path,
        topology=["pair", "branch"],
        unseen=["office"],
        experiments={"train": {"seed": 5}, "test": {"seed": 6}, "seconds": 30},
    )
    found = plan_experiments(load_spec(path), tmp_path / "mine-1")
    assert [(one.run_dir.name, one.split, one.seed) for one in found] == [
        ("mine-1-pair-train", "train", 5),
        ("mine-1-branch-train", "train", 5),
        ("mine-1-pair-test", "test", 6),
        ("mine-1-branch-test", "test", 6),
        ("mine-1-office-unseen", "unseen", 6),
    ]
    assert all(one.topology.model.duration_s == pytest.approx(30) for one in found)


def test_a_run_may_last_its_own_time(tmp_path: Path) -> None:
    asked = {"train": {"seed": 5, "seconds": 60}, "test": {"seed": 6}, "seconds": 30}
    order = load_spec(spec(tmp_path, topology="pair", unseen=["branch"], experiments=asked))
    lasting = [one.topology.model.duration_s for one in plan_experiments(order, tmp_path)]
    assert lasting == pytest.approx([60, 30, 30])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"topology": ["pair", "office"], "unseen": ["pair"]}, "pair more often"),
        ({"topology": ["pair", "copy.yaml"]}, "several that say 'name: pair'"),
        ({"topology": ["pair", "nowhere"]}, "'nowhere'"),
        ({"topology": "pair", "unseen": ["nowhere"]}, "'nowhere'"),
        ({"topology": []}, "at least 1"),
    ],
)
def test_topologies_that_make_no_dataset_are_refused(
    tmp_path: Path, values: dict[str, object], says: str
) -> None:
    pair = Path(__file__).parents[2] / "topologies" / "library" / "pair.yaml"
    (tmp_path / "copy.yaml").write_text(pair.read_text())
    with pytest.raises(InputError, match=says):
        load_spec(spec(tmp_path, **values))
