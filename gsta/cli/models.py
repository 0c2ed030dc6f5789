"""``gsta models``: the registered analysers."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import click

from gsta.cli.common import format_option, print_records, reporter
from gsta.workspace import Workspace
from sta_registry import Registry, Store, Version

COLUMNS = ("model", "version", "aliases", "f1_macro", "mae_gain", "accepted")


def _registry() -> Registry:
    return Registry(Store.open(Workspace.default().home))


def _record(version: Version) -> dict[str, object]:
    return {
        "model": version.name,
        "version": version.version,
        "aliases": " ".join(version.aliases),
        "f1_macro": _known(version.f1_macro),
        "mae_gain": _known(version.mae_gain),
        "accepted": version.accepted,
    }


def _known(value: float) -> float | None:
    """A measure, if the model has it: macro-F1, or a forecaster's gain on seasonal naive."""
    return None if isnan(value) else round(value, 4)


@click.group()
def models() -> None:
    """Registered analysers: list, show, promote, roll back, export."""


@models.command("list")
@format_option
def list_(*, output_format: str) -> None:
    """List every version of every analyser."""
    records = [_record(v) for versions in _registry().list_models().values() for v in versions]
    print_records(records, output_format, columns=COLUMNS)


@models.command()
@click.argument("model")
def show(model: str) -> None:
    """Print the model card of MODEL (NAME, NAME@ALIAS or NAME/VERSION)."""
    folder = _registry().resolve(model)
    click.echo((folder / "model_card.md").read_text(encoding="utf-8"), nl=False)


@models.command()
@click.argument("name")
@click.argument("version", type=int)
def promote(name: str, version: int) -> None:
    """Make VERSION of NAME the champion."""
    reporter().say(str(_registry().promote(name, version)))


@models.command()
@click.argument("name")
def rollback(name: str) -> None:
    """Make the previous champion of NAME the champion again."""
    reporter().say(str(_registry().rollback(name)))


@models.command()
@click.argument("model")
@click.argument("folder", type=click.Path(path_type=Path))
def export(model: str, folder: Path) -> None:
    """Copy MODEL to FOLDER: ONNX, JSON and the card, all that `gsta analyse` needs."""
    click.echo(_registry().export(model, folder))
