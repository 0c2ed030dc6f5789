"""``gsta activity``: the catalogue of activities, and what it needs of this machine."""

from __future__ import annotations

import click

from gsta.cli.common import format_option, print_records
from launcher.activities import catalogue, services
from launcher.activities.kind import Need
from launcher.needs import missing, packages
from topologies.errors import InputError, Problem

COLUMNS = ("kind", "category", "service", "variants", "backends", "here", "summary")


@click.group()
def activity() -> None:
    """Activities: what users and attackers of a lab can do."""


@activity.command("list")
@format_option
def list_activities(*, output_format: str) -> None:
    """List the kinds of activity.

    HERE says whether hosts of namespaces can do it on this machine as it is.
    """
    records = [
        {
            "kind": kind.kind,
            "category": kind.category,
            "service": kind.service_kind or "any",
            "variants": ", ".join(kind.variants),
            "backends": ", ".join(kind.backends),
            "here": "no" if missing(_needs(kind.kind)) else "yes",
            "summary": kind.summary,
        }
        for kind in sorted(catalogue().values(), key=lambda kind: (kind.category, kind.kind))
    ]
    print_records(records, output_format, columns=COLUMNS)


@activity.command("packages")
@click.argument("kinds", nargs=-1)
def list_packages(kinds: tuple[str, ...]) -> None:
    """Print the Debian packages that KINDS (all, if none is named) use on hosts of namespaces.

    For example: apt-get install --no-install-recommends $(gsta activity packages ftp)
    """
    for name in kinds:
        if name not in catalogue():
            known = ", ".join(sorted(catalogue()))
            problem = Problem(name, "", "a kind of activity", f"'{name}'", f"choose of: {known}")
            raise InputError(problem)
    needs = [need for name in kinds or catalogue() for need in _needs(name)]
    # Python's modules come with pip, for the Python that runs the launcher.
    for package in packages(need for need in needs if not need.module):
        click.echo(package)


def _needs(name: str) -> tuple[Need, ...]:
    """Of an activity and of the service that it talks to."""
    kind = catalogue()[name]
    served = services()[kind.service_kind].needs if kind.service_kind else ()
    return tuple(dict.fromkeys((*kind.needs, *served)))
