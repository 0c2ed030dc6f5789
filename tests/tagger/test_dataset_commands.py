"""``gsta dataset`` as docs/datasets.md shows it: every command and program there is run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from audit.card import write_card
from audit.dataset import load_dataset
from gsta.cli import cli
from tagger import TaggedRun, load_summary, write_dataset

DOCUMENT = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
EXTRA = (
    pa.field("seq_size_bytes", pa.list_(pa.int32(), 3), metadata={"role": "sequence"}),
    pa.field("segment", pa.int32(), metadata={"role": "meta"}),
)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def commands():
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [line.removeprefix("$ gsta ") for line in lines if line.startswith("$ gsta ")]


@pytest.fixture
def place(busy_run, tmp_path, monkeypatch):
    """A folder with the datasets that the page speaks of."""
    for name, run_ids in (("one", ("a", "b")), ("two", ("c",))):
        runs = []
        for run_id in run_ids:
            run = busy_run(run_id)
            run.activity("web", start_s=60, stop_s=90, host="bob", address="198.18.2.1")
            run.flow(46, 47, sport=49_000)
            for sport in (50_000, 50_001):
                run.flow(61, 62, sport=sport, src="198.18.2.1")
            for field in EXTRA:
                run.schema = run.schema.append(field)
            for flow in run.flows:
                flow |= {"seq_size_bytes": [40, 1500, 0], "segment": 0}
            runs.append(TaggedRun(run.write().folder, run.table, "train"))
        write_dataset(tmp_path / name, name, runs)
        write_card(tmp_path / name, load_dataset(tmp_path / name), (), released=True)
    (tmp_path / "key").write_bytes(bytes(range(32)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gsta(*words, code=0):
    result = CliRunner().invoke(cli, list(words))
    assert result.exit_code == code, result.output
    return result


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_the_page_does_what_it_says(place, capsys, monkeypatch):
    assert len(commands()) == 12
    for command in commands():
        gsta(*shlex.split(command))
    assert {run.split for run in load_summary(place / "one").runs} == {"train", "test"}
    assert len(load_summary(place / "both").runs) == 3
    assert set(load_summary(place / "by-time").classes) <= {"train", "validation", "test"}
    assert [g.name for g in load_summary(place / "by-host").splitting.groups] == [
        "small/alice",
        "small/bob",
    ]
    assert "198.18." not in (place / "shared.csv").read_text()
    for name in ("HF_HOME", "HF_DATASETS_CACHE"):
        monkeypatch.setenv(name, str(place / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_card(place / "one", load_dataset(place / "one"), (), released=True)
    for program in blocks("python"):
        exec(compile(program, "docs/datasets.md", "exec"), {})  # noqa: S102 - our page
    assert capsys.readouterr().out.splitlines() == ["web", "(22, 3) web", "83"]


def test_every_command_and_option_is_on_the_page():
    group = cli.get_command(None, "dataset")
    for name, command in group.commands.items():
        assert f"gsta dataset {name}" in DOCUMENT
        for option in command.params:
            for word in option.opts:
                known = word in ("--format", "--flow") or not word.startswith("--")
                assert known or word in DOCUMENT, f"{name} {word}"


def test_show_counts_flows_by_split(place):
    gsta(*shlex.split("dataset split one --by run --put a=train --put b=test"))
    rows = json.loads(gsta("dataset", "show", "one", "--format", "json").stdout)
    assert {row["label"]: (row["train"], row["test"]) for row in rows if row["train"]} == {
        "web": (7, 7),
        "ssh": (1, 1),
        "scan": (1, 1),
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("dataset split one --by run", "got neither; give for example --share train=0.7"),
        ("dataset split one --by run --share train", "'train': once, as in train=0.7"),
        ("dataset split one --by run --share dev=1", "'dev' is none of train, validation, test"),
        ("dataset split one --by run --put a=dev", "'a=dev': once, as in office=train"),
        ("dataset merge one --out x", "expected two or more datasets, got 1"),
        ("dataset merge one one --out x", "run 'a', which is in one too"),
        ("dataset export one --as csv --out x --key key", "--key is the key of --anonymise"),
        ("dataset export one --as csv --out x --anonymise --key one", "expected a key file"),
        ("dataset verify nowhere", "nowhere: expected a dataset"),
    ],
)
def test_what_does_not_go_is_one_clear_error(place, words, said):
    result = gsta(*shlex.split(words), code=2)
    assert said in result.stderr
    assert not (place / "x").exists()


def test_verify_names_what_is_not_as_it_was(place):
    table = pq.read_table(place / "one" / "splits.parquet")
    pq.write_table(table.slice(1), place / "one" / "splits.parquet")
    assert "splits.parquet: expected SHA-256" in gsta("dataset", "verify", "one", code=2).stderr
