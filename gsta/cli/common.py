"""What every command shares: error handling, output formats, where messages go."""

from __future__ import annotations

import csv
import io
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NoReturn, TypeVar

import click

from gsta.reporting import ConsoleReporter
from topologies.errors import INTERRUPTED, GstaError, InputError

Function = TypeVar("Function", bound=Callable[..., Any])
FORMATS: Final = ("table", "json", "jsonl", "csv")


def reporter() -> ConsoleReporter:
    """Progress as the ``--quiet`` of this call wants it."""
    return ConsoleReporter(quiet=bool(click.get_current_context().find_root().params["quiet"]))


def format_option(function: Function) -> Function:
    """``--format`` for commands that print records."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to print the result on stdout.",
    )(function)


def print_records(
    records: Sequence[Mapping[str, object]], output_format: str, *, columns: Iterable[str]
) -> None:
    """Print flat records on stdout; one shared form for every command."""
    names = list(columns)
    if output_format == "json":
        click.echo(json.dumps(list(records), indent=2, default=str))
    elif output_format == "jsonl":
        for record in records:
            click.echo(json.dumps(record, default=str))
    elif output_format == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        click.echo(text.getvalue(), nl=False)
    else:
        values = [[record.get(name) for name in names] for record in records]
        rows = [["" if value is None else str(value) for value in row] for row in values]
        _print_table([name.replace("_", " ") for name in names], rows)


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """As wide as it is, or on a terminal as wide as that."""
    if sys.stdout.isatty():
        from rich.console import Console  # takes a while to load
        from rich.table import Table
        from rich.text import Text

        table = Table(*heads, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*map(Text, row))
        Console().print(table, highlight=False)
        return
    lines = [[" ".join(cell.split("\n")) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def next_step(text: str) -> None:
    """Say on stderr what a user sensibly does next."""
    reporter().say(f"next: {text}")


class Group(click.Group):
    """A command group that turns the project's errors into one message and an exit code.

    ``commands_at`` says where its commands are, as ``module:name``.
    """

    def __init__(self, *args: Any, commands_at: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Their names, in the order of a build."""
        return list(self._commands_at)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        cmd_name: str,
    ) -> click.Command | None:
        """Load a command."""
        if cmd_name not in self._commands_at:
            return None
        module, name = self._commands_at[cmd_name].split(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a user's mistake never shows a traceback (unless ``--debug``)."""
        try:
            return super().invoke(ctx)
        except GstaError as error:
            if ctx.find_root().params.get("debug"):
                raise
            _fail(error)
        except KeyboardInterrupt:
            click.echo("interrupted; what a lab left behind goes with: gsta lab wipe", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader of our output has seen enough (head, less).
            sys.stderr.close()
            ctx.exit(0)


def _fail(error: GstaError) -> NoReturn:
    if isinstance(error, InputError):
        count = len(error.problems)
        for problem in error.problems:
            click.echo(f"error: {problem}", err=True)
        if count > 1:
            click.echo(f"{count} errors", err=True)
    else:
        click.echo(f"error: {error}", err=True)
    sys.exit(error.exit_code)


def set_up_logging(verbosity: int, *, quiet: bool) -> None:
    """Logs go to stderr: warnings, ``-v`` information, ``-vv`` everything."""
    level = (
        logging.ERROR
        if quiet
        else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for package in (
        "topologies",
        "launcher",
        "flowmeter",
        "tagger",
        "audit",
        "builder",
        "sta_registry",
        "analyser",
        "gsta",
    ):
        logging.getLogger(package).setLevel(level)


def interrupt_on_sigterm() -> None:
    """SIGTERM ends a lab as Ctrl-C does: everything torn down."""

    def handler(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, handler)
