"""The command line. Data goes to stdout, everything for people to stderr."""

from __future__ import annotations

import atexit
import gc

import click

from gsta.cli.common import Group, interrupt_on_sigterm, set_up_logging
from gsta.version import __version__

# Where each command is: it loads when it is called, so that none waits for another's libraries.
COMMANDS = {
    "doctor": "gsta.cli.doctor:doctor",
    "check": "gsta.cli.check:check",
    "schema": "gsta.cli.check:schema",
    "topology": "gsta.cli.topology:topology",
    "activity": "gsta.cli.activity:activity",
    "lab": "gsta.cli.lab:lab",
    "inject": "gsta.cli.inject:inject",
    "meter": "gsta.cli.meter:meter",
    "tag": "gsta.cli.tag:tag",
    "audit": "gsta.cli.data:audit",
    "dataset": "gsta.cli.dataset:dataset",
    "build": "gsta.cli.build:build",
    "train": "gsta.cli.train:train",
    "models": "gsta.cli.models:models",
    "analyse": "gsta.cli.analyse:analyse",
}
ABOUT_LABS = ("doctor", "lab", "build")
YOUNG_OBJECTS = 50_000  # Python looks for cycles among these many new objects, instead of 700


@click.group(
    cls=Group, commands_at=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="gsta")
@click.option("-q", "--quiet", is_flag=True, help="Only results and errors.")
@click.option("-v", "--verbose", count=True, help="Tell more on stderr; twice for everything.")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
@click.pass_context
def cli(context: click.Context, *, quiet: bool, verbose: int, debug: bool) -> None:
    """From a YAML spec to a trained, registered, running Smart Traffic Analyser (STA).

    Every option can be set by an environment variable: GSTA_QUIET, GSTA_BUILD_BACKEND, ...

    Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 this machine cannot, 4 done and a gate
    said no (audit, acceptance), 130 interrupted.
    """
    set_up_logging(2 if debug else verbose, quiet=quiet)
    interrupt_on_sigterm()
    if context.invoked_subcommand in ABOUT_LABS:
        from gsta.cli.lab import sweep

        sweep()


def main() -> None:
    """Entry point of the ``gsta`` program."""
    # Libraries make a quarter of a million objects when they load, none of them garbage. To look
    # for some again and again, and once more at the end, takes longer than many a command.
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
    atexit.register(gc.freeze)
    cli(auto_envvar_prefix="GSTA")
