"""Registered STAs: versions under a name, and the aliases that say which one is at work.

The rule for aliases, all of it: a version that meets its acceptance becomes ``champion``, and the
champion before it becomes ``previous``; one that does not is kept under its number only. People
may overrule it with `Registry.promote` and undo the last change with `Registry.rollback`.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.forecast.result import ForecastResult
from builder.result import BuildResult
from sta_registry.acceptance import BEAT, Check, judge, judge_forecast
from sta_registry.forecast_runs import log_forecast
from sta_registry.forecaster import FORECAST_FILE, write_forecaster
from sta_registry.manifest import MANIFEST_FILE
from sta_registry.reference import CHAMPION, PREVIOUS, Reference, check_name, parse_reference
from sta_registry.runs import PAYLOAD, LoggedModel, log_build
from sta_registry.sta import write_sta
from sta_registry.store import Store
from sta_registry.versions import Version, find_version, read_models, read_versions
from topologies.errors import InputError, Problem
from topologies.files import sha256_file

FETCHED: Final = "fetched"


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of a build in the registry."""

    name: str
    version: int
    uri: str
    run_id: str
    champion: bool
    checks: tuple[Check, ...]
    before: Version | None  # the champion until now
    beats: bool | None  # higher macro-F1 than ``before``; None unless both saw the same dataset


@dataclass(frozen=True, slots=True)
class Registry:
    """The registered STAs of one store.

    Examples
    --------
    >>> registry = Registry(Store.open())
    >>> registry.resolve("web-or-mining@champion")  # doctest: +SKIP
    """

    store: Store

    def register(
        self,
        result: BuildResult,
        *,
        name: str,
        acceptance: Mapping[str, float] | None = None,
        spec_sha256: str | None = None,
        crown: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> Registered:
        """Log a build with every trial, register its STA, and crown it if it is good enough.

        ``acceptance`` maps metrics of the test run to their least values, and what the model costs
        to the most, for example ``{"f1_macro": 0.95, "recall:cryptomining": 0.9,
        "latency_us_per_flow": 200}``; none given, every build is accepted.
        Without ``crown`` it is kept under its number only.

        Raises
        ------
        InputError
            The name or a metric of ``acceptance`` is no such thing; nothing is written then.
        MachineError
            The store cannot be reached or written.
        """
        check_name(name)
        speed = None if result.findings is None else result.findings.speed
        checks = judge(result.test, acceptance or {}, speed=speed)
        accepted = crown and all(check.met for check in checks)
        before = self._champion(name)
        with tempfile.TemporaryDirectory(prefix="gsta-") as temporary:
            folder = write_sta(result, Path(temporary) / "sta", name=name, spec_sha256=spec_sha256)
            logged = log_build(self.store, result, folder, clock=clock)
        known = before is not None and before.dataset_sha256 == result.dataset_sha256
        beats = result.test.f1_macro > before.f1_macro if before is not None and known else None
        return self._enter(name, logged, checks, before, accepted=accepted, beats=beats)

    def register_forecast(
        self,
        result: ForecastResult,
        *,
        name: str,
        acceptance: Mapping[str, float] | None = None,
        spec_sha256: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Registered:
        """Log a forecast with every trial, register it, and crown it if it is good enough.

        ``acceptance`` is of `sta_registry.acceptance.FORECAST`; None: it has to beat the seasonal
        naive forecast.

        Raises
        ------
        InputError
            The name or a measure of ``acceptance`` is no such thing; nothing is written then.
        MachineError
            The store cannot be reached or written.
        """
        check_name(name)
        checks = judge_forecast(result.gain, BEAT if acceptance is None else acceptance)
        accepted = all(check.met for check in checks)
        before = self._champion(name)
        with tempfile.TemporaryDirectory(prefix="gsta-") as temporary:
            folder = Path(temporary) / "sta"
            write_forecaster(result, folder, name=name, spec_sha256=spec_sha256)
            logged = log_forecast(self.store, result, folder, clock=clock)
        return self._enter(name, logged, checks, before, accepted=accepted, beats=None)

    def resolve(self, reference: str | Path) -> Path:
        """The local folder of an STA.

        ``reference`` is the path of an STA folder, which comes first; or ``NAME@ALIAS``,
        ``NAME/VERSION``, or ``NAME``, which is its champion. An STA of a server is fetched once,
        below the store's home.

        Raises
        ------
        NotFoundError
            There is nothing of that name; the message lists what there is.
        InputError
            The stored files are not those that were registered.
        """
        if _manifest(Path(reference)).exists():
            return Path(reference)
        version = find_version(self.store, parse_reference(str(reference)))
        folder = self._local(version)
        manifest = _manifest(folder)
        found = sha256_file(manifest) if manifest.exists() else "no file"
        if found != version.manifest_sha256:
            raise InputError(
                Problem(
                    str(manifest),
                    "",
                    f"SHA-256 {version.manifest_sha256}, as registered for {version.uri}",
                    found,
                    f"delete {folder} if it was fetched; else roll back or register it again",
                )
            )
        return folder

    def export(self, reference: str | Path, destination: Path) -> Path:
        """Copy an STA folder to ``destination``, which must not exist yet."""
        source = self.resolve(reference)
        if destination.exists():
            raise InputError(
                Problem(str(destination), "", "a new folder", "one that exists", "choose another")
            )
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=destination.parent) as scratch:
            shutil.copytree(source, Path(scratch) / "sta").rename(destination)
        return destination

    def list_models(self) -> dict[str, tuple[Version, ...]]:
        """Every registered STA with its versions, newest first; empty for a store not made yet."""
        return read_models(self.store)

    def show_model(self, name: str) -> tuple[Version, ...]:
        """The versions of one STA, newest first; raises `NotFoundError`."""
        versions = read_versions(self.store, check_name(name))
        return versions or (find_version(self.store, Reference(name)),)

    def promote(self, name: str, version: int) -> Version:
        """Make a version the champion, whatever its acceptance said; the version."""
        reference = Reference(check_name(name), version=version)
        find_version(self.store, reference)
        self._crown(name, version)
        return find_version(self.store, reference)

    def rollback(self, name: str) -> Version:
        """Let champion and previous change places; the new champion."""
        previous = find_version(self.store, Reference(check_name(name), alias=PREVIOUS))
        return self.promote(name, previous.version)

    def _champion(self, name: str) -> Version | None:
        versions = read_versions(self.store, name)
        return next((version for version in versions if CHAMPION in version.aliases), None)

    def _enter(
        self,
        name: str,
        logged: LoggedModel,
        checks: tuple[Check, ...],
        before: Version | None,
        *,
        accepted: bool,
        beats: bool | None,
    ) -> Registered:
        """Make a version of what was logged, and crown it if it is accepted."""
        version = self._add_version(name, logged, accepted=accepted)
        if accepted:
            self._crown(name, version)
        return Registered(
            name=name,
            version=version,
            uri=f"models:/{name}/{version}",
            run_id=logged.run_id,
            champion=accepted,
            checks=checks,
            before=before,
            beats=beats,
        )

    def _add_version(self, name: str, logged: LoggedModel, *, accepted: bool) -> int:
        client = self.store.client
        with self.store.errors():
            if not client.search_registered_models(f"name='{name}'"):
                client.create_registered_model(name)
            made = client.create_model_version(
                name,
                source=logged.location,
                run_id=logged.run_id,
                model_id=logged.model_id,
                tags=logged.tags | {"gsta.accepted": str(accepted).lower()},
            )
        return int(made.version)

    def _crown(self, name: str, version: int) -> None:
        champion = self._champion(name)
        if champion is not None and champion.version == version:
            return
        with self.store.errors():
            # In this order a kill in between leaves the old champion at work.
            if champion is not None:
                self.store.client.set_registered_model_alias(name, PREVIOUS, str(champion.version))
            self.store.client.set_registered_model_alias(name, CHAMPION, str(version))

    def _local(self, version: Version) -> Path:
        path = self.store.local_path(version.location)
        if path is not None:
            return path / PAYLOAD
        folder = self.store.home / FETCHED / version.manifest_sha256
        if not folder.exists():
            self.store.fetch(f"{version.location}/{PAYLOAD}", folder)
        return folder


def _manifest(folder: Path) -> Path:
    """The manifest of an STA's folder, or of a forecaster's."""
    forecast = folder / FORECAST_FILE
    return forecast if forecast.exists() else folder / MANIFEST_FILE
