"""``gsta doctor``: what this machine can do."""

from __future__ import annotations

import click

from gsta.cli.common import format_option, print_records
from gsta.doctor import can_run_a_lab, examine
from topologies.errors import MachineError


@click.command()
@format_option
def doctor(*, output_format: str) -> None:
    """Tell what this machine can do, and the remedy for what it cannot."""
    findings = list(examine())
    print_records(
        [
            {"what": f.what, "works": f.verdict, "detail": f.detail, "remedy": f.remedy}
            for f in findings
        ],
        output_format,
        columns=("what", "works", "detail", "remedy"),
    )
    if not can_run_a_lab(findings):
        raise MachineError("no lab can run here", remedy="mend one of the lines above")
