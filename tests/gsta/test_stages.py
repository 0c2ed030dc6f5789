"""Stages that are taken over from an earlier build."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from gsta.experiments import plan_experiments
from gsta.generate import Labs
from gsta.keys import lab_key
from gsta.order import load_spec
from gsta.stages import Stages, digest, trial_journal


class Told:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.said: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[object]:
        yield lambda *_: None

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A build with a run, and a dataset that two stages wrote."""
    folder = tmp_path / "mine-1"
    stages = Stages(folder, Told(), None)
    for name, text in (("runs/mine-1-train/manifest.json", "{}"), ("dataset/labels", "l")):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    stages.record("lab train", "k1", folder / "runs" / "mine-1-train")
    stages.record("tag", "k2", folder / "dataset")
    (folder / "dataset/audit.json").write_text("a")
    stages.record("audit", "k3", folder / "dataset")
    return folder


def test_an_unchanged_stage_is_taken_over_and_said(first: Path) -> None:
    told, folder = Told(), first.with_name("mine-2")
    stages = Stages(folder, told, first.parent)
    assert stages.recall("lab train", "k1") == (folder / "runs" / "mine-1-train",)
    assert (folder / "runs/mine-1-train/manifest.json").read_text() == "{}"
    assert stages.recall("tag", "k2") == (folder / "dataset",)
    assert not (folder / "dataset/audit.json").exists()
    assert stages.recall("audit", "other") == ()
    assert told.said == [
        "lab train  unchanged, taken from mine-1 (--fresh does every stage)",
        "tag        unchanged, taken from mine-1",
    ]
    # A third build takes them from the second when the first is gone.
    for path in sorted(first.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    attempt = first.with_name("mine-3") / "attempt-1"
    third = Stages(attempt, told, first.parent)
    assert third.recall("lab train", "k1") == (attempt / "runs/mine-1-train",)
    assert "taken from mine-2" in told.said[-1]


def test_what_is_no_longer_whole_is_done_again(first: Path) -> None:
    (first / "dataset/labels").write_text("half of it is gone")
    (first.with_name("torn")).mkdir()
    (first.with_name("torn") / "stages.json").write_text('{"tag": {"key"')
    stages = Stages(first.with_name("mine-2"), Told(), first.parent)
    assert stages.recall("tag", "k2") == ()
    assert stages.recall("lab train", "k1")


def test_fresh_takes_nothing(first: Path) -> None:
    assert Stages(first.with_name("mine-2"), Told(), None).recall("tag", "k2") == ()


def test_trials_of_the_same_search_are_taken_over(first: Path) -> None:
    journal = first / "search/trials.jsonl"
    journal.parent.mkdir()
    journal.write_text('{"search": "k"}\n{"trial": {}, "at_s": 1.0}\n')
    told = Told()
    second = first.with_name("mine-2")
    assert trial_journal(second, "k", told, first.parent).read_text() == journal.read_text()
    assert told.said == ["search     1 trials taken from mine-1"]
    assert not trial_journal(first.with_name("mine-3"), "another", told, first.parent).exists()


def test_a_digest_is_of_the_values_and_of_the_code() -> None:
    assert digest("a", 1, code=("tagger",)) == digest("a", 1, code=("tagger",))
    assert digest("a", 1, code=("tagger",)) != digest("a", 2, code=("tagger",))
    assert digest("a", 1, code=("tagger",)) != digest("a", 1, code=("audit",))


def test_a_lab_is_another_with_another_seed_or_topology_or_packets_kept(tmp_path: Path) -> None:
    def keys(topology: str, seed: int, *, keep_packets: bool = True) -> str:
        path = tmp_path / "spec.yaml"
        values = {"name": "mine", "topology": topology, "experiments": {"train": {"seed": seed}}}
        path.write_text(yaml.safe_dump(values))
        train = plan_experiments(load_spec(path), tmp_path / "mine-1")[0]
        return lab_key(train, Labs("netns", keep_packets=keep_packets))

    assert keys("pair", 5) == keys("pair", 5)
    others = {keys("pair", 6), keys("branch", 5), keys("pair", 5, keep_packets=False)}
    assert len({keys("pair", 5), *others}) == 4
