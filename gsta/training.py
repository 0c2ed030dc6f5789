"""Training without the lab: from a dataset, or flows that somebody labelled, to an analyser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import builder
from builder.foreign import FlowTables
from builder.report import REPORT_FILE, render_report
from gsta.reporting import Reporter
from sta_registry import Registered, Registry, Store, write_sta
from topologies.files import write_text

if TYPE_CHECKING:
    from launcher.run import Progress


def search_progress(progress: Progress) -> builder.Listener:
    """Tell ``progress`` of the steps of a build."""

    def listen(step: builder.Progress) -> None:
        best = "" if step.best is None else f", best {step.best:.3f}"
        progress(f"{step.stage}{best}", step.done, step.total)

    return listen


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to."""

    result: builder.BuildResult
    registered: Registered | None  # None: not asked for
    folder: Path | None  # the STA and its report, where one was asked for


def train(
    source: Path | FlowTables,
    config: builder.BuildConfig,
    *,
    runner: builder.Runner,
    reporter: Reporter,
    store: Store | None = None,
    register_as: str | None = None,
    out: Path | None = None,
    accept_unreleased: bool = False,
) -> Trained:
    """Search, judge once, then register the analyser and write its folder as far as asked for.

    Raises
    ------
    GateError
        The audit did not release the dataset.
    GstaError
        What `builder.build` raises.
    """
    with reporter.stage("train") as progress:
        result = builder.build(
            source,
            config,
            runner=runner,
            progress=search_progress(progress),
            accept_unreleased=accept_unreleased,
        )
    registered = None
    if register_as and store is not None:
        with reporter.stage("register"):
            registered = Registry(store).register(result, name=register_as)
    folder = None
    if out is not None:
        folder = write_sta(result, out, name=register_as or out.name)
        write_text(out / REPORT_FILE, render_report(result, name=register_as or out.name))
    return Trained(result, registered, folder)
