"""What a random split would feign, and what a topology that was not trained on costs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from builder import BuildConfig
from builder.data import read_dataset
from builder.evaluation.carrying import carrying
from builder.families import families
from builder.families.base import Target
from builder.objective import Candidate, Objective, Trainer

PARAMS = {"rounds": 10, "max_depth": 4, "learning_rate": 0.5, "class_weight": None}


@pytest.fixture
def carried(write):
    """Carries a model over a dataset, of which one run trains for each of these topologies."""

    def make(*topologies: str, late: bool = False):
        folder = write(train_rows=300, test_rows=150, separation=1.2)
        data = read_dataset(folder, BuildConfig())
        runs = tuple(f"run-{place}" for place in range(len(topologies)))
        pairs = zip(runs, topologies, strict=True)
        named = [{"run_id": run, "topology": one} for run, one in pairs]
        (folder / "dataset.json").write_text(json.dumps({"runs": named}))
        dealt = (
            replace(part, runs=runs, units={"run": np.arange(len(part)) % max(len(runs), 1)})
            for part in (data.train, data.test)
        )
        train, test = dealt
        data = replace(data, train=train, test=test)
        target = Target("classify", train.classes, len(data.labels), train.groups)
        trainer = Trainer(families(), "constant", 1)
        objective = Objective(trainer, train.inputs, target, (), "f1_macro")
        candidate = Candidate(0, "xgboost", PARAMS, 1)
        usual = trainer.fit(candidate, train.inputs, target)
        return tuple(carrying(data, objective, candidate, usual, late=lambda: late, seed=1)), len(
            test
        )

    return make


def test_a_random_split_and_each_topology_without_it_are_judged(carried):
    found, flows = carried("home", "office")
    assert [one.topology for one in found] == [None, "home", "office"]
    assert abs(found[0].flows - flows) < 5  # rounded by class
    assert sum(one.flows for one in found[1:]) == flows
    for one in found:
        assert 0.5 < one.score <= 1
        assert one.interval.low <= one.score <= one.interval.high
        assert one.usual > 0.5


def test_one_topology_has_the_random_split_only(carried):
    assert [one.topology for one in carried("home", "home")[0]] == [None]


def test_a_table_that_names_no_runs_has_nothing_and_nothing_is_begun_too_late(carried):
    assert carried()[0] == ()
    assert carried("home", "office", late=True)[0] == ()
