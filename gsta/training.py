"""Training without the lab: from a dataset, or flows that somebody labelled, to an analyser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import builder
from builder.beginning import Beginning, beginning
from builder.foreign import FlowTables
from builder.origin import Origin
from builder.report import REPORT_FILE, render_report
from builder.transfer import Freeze
from gsta.reporting import Reporter
from gsta.rivalry import Bout, challenge
from sta_registry import Registered, Registry, Store, write_sta
from sta_registry.manifest import MODEL_FILE
from topologies.errors import InputError, Problem
from topologies.files import write_text

if TYPE_CHECKING:
    from launcher.run import Progress
    from sta_registry import Sta


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
    bouts: tuple[Bout, ...] = ()  # against the champion, where one had to be beaten


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
    begin: Beginning | None = None,
    beat_on: Sequence[Path] = (),
    journal: Callable[[str], Path] | None = None,
) -> Trained:
    """Search, judge once, then register the analyser and write its folder as far as asked for.

    With ``beat_on`` it becomes the champion only if it beats the one before on the test runs of
    each of these datasets. Trials that the ``journal`` has for a search's key are not run again.

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
            config if begin is None else begin.origin.config(config),
            runner=runner,
            progress=search_progress(progress),
            accept_unreleased=accept_unreleased,
            begin=begin,
            journal=journal,
        )
    registered, bouts = None, tuple[Bout, ...]()
    if register_as and store is not None:
        with reporter.stage("register"):
            registry = Registry(store)
            bouts = challenge(
                result, registry, register_as, beat_on, accept_unreleased=accept_unreleased
            )
            crown = all(bout.won for bout in bouts)
            registered = registry.register(result, name=register_as, crown=crown)
    folder = None
    if out is not None:
        folder = write_sta(result, out, name=register_as or out.name)
        write_text(out / REPORT_FILE, render_report(result, name=register_as or out.name))
    return Trained(result, registered, folder, bouts)


def begin_with(sta: Sta, freeze: Freeze) -> Beginning:
    """A training that begins with the model of a packaged analyser.

    Raises
    ------
    InputError
        It is neither a network nor trees, or it learnt from somebody else's flow table.
    """
    manifest = sta.manifest
    if manifest.table is not None:
        raise InputError(
            Problem(
                manifest.name,
                "",
                "an analyser of captures",
                "one of a foreign flow table",
                "its categories are its own: train from scratch",
            )
        )
    origin = Origin(
        name=manifest.name,
        family=manifest.provenance.family,
        params=manifest.provenance.params,
        onnx=(sta.folder / MODEL_FILE).read_bytes(),
        preprocessing=manifest.preprocessing,
        features=tuple(feature.name for feature in manifest.features),
        sequences=manifest.sequence is not None,
        labels=manifest.classes,
    )
    return beginning(origin, freeze)
