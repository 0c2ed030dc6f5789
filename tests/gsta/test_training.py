"""Training without the lab, from the command line."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from gsta.cli import cli
from gsta.rivalry import f1_on_test
from sta_registry import load_sta
from tests.builder.conftest import Spec, write_dataset

SERIAL = ("--serial", "--families", "random_forest", "--trials", "1")


@pytest.fixture
def gsta(tmp_path, monkeypatch):
    monkeypatch.setenv("GSTA_HOME", str(tmp_path / "home"))

    def call(*arguments, code=0):
        done = CliRunner().invoke(cli, [str(one) for one in arguments])
        assert done.exit_code == code, done.output
        return done.output

    return call


def table(path, seed):
    rng = np.random.default_rng(seed)
    lines = ["service,bytes,Label"]
    for row in range(80):
        bad = row % 2
        service = ("http", "telnet")[bad]
        lines.append(f"{service},{rng.integers(100, 200) * (1 + 20 * bad)},{('ok', 'scan')[bad]}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_an_analyser_of_foreign_flows_is_trained_and_used(gsta, tmp_path):
    train, test = table(tmp_path / "a.csv", 1), table(tmp_path / "b.csv", 2)
    out = tmp_path / "sta"
    said = gsta("train", "--flows", train, "--test-flows", test, "--label-column", "Label",
                "--benign", "ok", "--out", out, *SERIAL)  # fmt: skip
    assert "malicious" in said
    assert load_sta(out).manifest.table is not None
    verdicts = gsta("analyse", "--model", out, test, "--format", "csv")
    assert verdicts.count('"malicious"') == 40
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("service\nhttp\n")
    assert "bytes: expected a column" in gsta("analyse", "--model", out, wrong, code=2)


def test_options_that_do_not_fit_are_refused(gsta, tmp_path):
    flows = table(tmp_path / "a.csv", 1)
    assert "--register-as NAME, or --out" in gsta("train", "--flows", flows, code=2)
    both = ("train", "--flows", flows, "--out", tmp_path / "x", "--random-split", "0.3")
    assert "one way to split" in gsta(*both, "--time-column", "bytes", code=2)
    assert "give --test-flows FILE" in gsta(
        "train", "--flows", flows, "--label-column", "Label", "--out", tmp_path / "x", code=2
    )


def test_a_champion_stays_unless_it_is_beaten(gsta, tmp_path):
    good = write_dataset(tmp_path / "good", Spec(sequences=False))
    bad = write_dataset(tmp_path / "bad", Spec(sequences=False, shuffle_labels=True))
    again = ("--keep-if-better", "--register-as", "kinds", *SERIAL)
    gsta("train", "--dataset", good, *again)
    said = gsta("train", "--dataset", bad, "--also-test", good, *again, code=4)
    assert "good: macro-F1" in said
    assert "of the champion" in said
    assert "kinds/2 is registered but no champion" in said
    gsta("models", "export", "kinds@champion", tmp_path / "sta")
    assert f1_on_test(load_sta(tmp_path / "sta"), good, accept_unreleased=False) > 0.8


def test_trees_go_on_from_those_of_a_champion(gsta, tmp_path):
    dataset = write_dataset(tmp_path / "first", Spec(sequences=False))
    gsta("train", "--dataset", dataset, "--register-as", "kinds", *SERIAL)
    assert "None" not in gsta("models", "list")  # a classifier has no gain on seasonal naive
    few = write_dataset(tmp_path / "few", Spec(sequences=False, train_rows=60, seed=3))
    out = tmp_path / "on"
    gsta("train", "--dataset", few, "--from", "models:/kinds@champion", "--out", out,
         "--serial", "--trials", "1")  # fmt: skip
    manifest = load_sta(out).manifest
    assert manifest.provenance.family == "random_forest"
    assert 0 < manifest.provenance.params["kept"] < 1
    assert f1_on_test(load_sta(out), dataset, accept_unreleased=False) > 0.8


def test_a_training_goes_on_where_one_like_it_was(gsta, tmp_path):
    flows = table(tmp_path / "a.csv", 1)
    asked = ("train", "--flows", flows, "--random-split", "0.3", "--out", tmp_path / "sta",
             "--serial", "--families", "random_forest")  # fmt: skip
    first = gsta(*asked, "--label-column", "Label", "--trials", "1")
    assert "taken from before" not in first
    second = gsta(*asked, "--label-column", "Label", "--trials", "2")
    assert "1 trials taken from before" in second
    fresh = gsta(*asked, "--label-column", "Label", "--trials", "2", "--fresh")
    assert "taken from before" not in fresh
    other = gsta(*asked, "--label-column", "service", "--trials", "1")
    assert "taken from before" not in other
    assert len(list((tmp_path / "home" / "trainings").glob("*/trials.jsonl"))) == 2
