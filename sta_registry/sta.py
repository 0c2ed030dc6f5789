"""The STA as a folder: writing one from a build, loading one, asking it about flows.

Loading and asking need numpy, pyarrow, pydantic and onnxruntime, and nothing that trained it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from builder.result import BuildResult
from sta_registry.card import render_card
from sta_registry.columns import check_columns, feature_matrix, sequence_tensor
from sta_registry.manifest import (
    CARD_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    ModelFile,
    PacketSequence,
    Provenance,
    Quality,
    StaManifest,
    read_manifest,
)
from sta_registry.onnx_model import OnnxModel
from topologies.errors import InputError, NotFoundError, Problem
from topologies.files import replacing, write_text

Floats = npt.NDArray[np.float32]

BATCH_ROWS: Final = 16_384
_REMEDY: Final = "the folder is damaged or foreign: fetch or build the STA again"


class Prediction(NamedTuple):
    """What an STA says about n flows, in the order of the table's rows."""

    indices: npt.NDArray[np.int64]  # [n], into the manifest's classes
    probabilities: Floats  # [n, classes], calibrated
    unknown: npt.NDArray[np.bool_]  # [n], unlike anything trained on


@dataclass(frozen=True, slots=True)
class Sta:
    """A loaded analyser.

    Examples
    --------
    >>> sta = load_sta(Path("web-or-mining"))  # doctest: +SKIP
    >>> sta.predict(flowmeter.meter(Path("office.pcap")).table)  # doctest: +SKIP
    """

    manifest: StaManifest
    folder: Path
    model: OnnxModel

    def predict(
        self, table: pa.Table, *, source: str = "flow table", batch_rows: int = BATCH_ROWS
    ) -> Prediction:
        """Classify flows by the columns the manifest names; other columns are not looked at.

        Raises
        ------
        InputError
            Columns of ``source`` are missing or have another type or unit than in training.
        """
        check_columns(table.schema, self.manifest, source=source)
        probabilities = np.empty((table.num_rows, len(self.manifest.classes)), dtype=np.float32)
        unknown = np.zeros(table.num_rows, dtype=np.bool_)
        for start in range(0, table.num_rows, batch_rows):
            batch = table.slice(start, batch_rows)
            rows = slice(start, start + batch.num_rows)
            probabilities[rows], unknown[rows] = self._answer(batch)
        return Prediction(probabilities.argmax(axis=1), probabilities, unknown)

    def _answer(self, table: pa.Table) -> tuple[Floats, npt.NDArray[np.bool_]]:
        manifest, raw = self.manifest, None
        inputs = {}
        if manifest.features:
            raw = feature_matrix(table, manifest.features)
            inputs["features"] = manifest.preprocessing.apply(raw)
        if manifest.sequence is not None:
            inputs["sequences"] = sequence_tensor(table, manifest.sequence)
        probabilities = manifest.calibration.apply(self.model.run(inputs))
        if manifest.novelty is None:
            return probabilities, np.zeros(table.num_rows, dtype=np.bool_)
        return probabilities, manifest.novelty.unknown(probabilities, raw)


def write_sta(
    result: BuildResult, folder: Path, *, name: str, spec_sha256: str | None = None
) -> Path:
    """Write the winner of a build as an STA folder; the folder, ready for :func:`load_sta`.

    The manifest is written last: a folder whose writing was cut short does not load.
    """
    manifest = _manifest(result, name, spec_sha256)
    with replacing(folder / MODEL_FILE) as temporary:
        temporary.write_bytes(result.onnx)
    write_text(folder / CARD_FILE, render_card(manifest))
    write_text(folder / MANIFEST_FILE, manifest.to_text())
    return folder


def load_sta(folder: Path, *, threads: int = 1) -> Sta:
    """Load an STA folder; ``threads`` work on a batch, 0 for every core.

    One thread gives the same bits every time, and is the fastest for small models.

    Raises
    ------
    NotFoundError
        The folder or a file of it is missing.
    InputError
        A file is damaged, foreign, or does not belong to the others.
    """
    manifest = read_manifest(folder)
    path = folder / MODEL_FILE
    try:
        graph = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "nothing"
        raise NotFoundError(Problem(str(path), "", "an ONNX model", reason, _REMEDY)) from error
    digest = hashlib.sha256(graph).hexdigest()
    if digest != manifest.model.sha256:
        raise InputError(
            Problem(str(path), "", f"SHA-256 {manifest.model.sha256}", digest, _REMEDY)
        )
    try:
        model = OnnxModel(graph, threads=threads)
    except ValueError as error:
        raise InputError(Problem(str(path), "", "an ONNX model", str(error), _REMEDY)) from error
    problems = list(_graph_problems(model, manifest, path))
    if problems:
        raise InputError(problems)
    return Sta(manifest, folder, model)


def _graph_problems(model: OnnxModel, manifest: StaManifest, path: Path) -> Iterator[Problem]:
    inputs: dict[str, tuple[int, ...]] = {}
    if manifest.features:
        inputs["features"] = (manifest.preprocessing.width,)
    if manifest.sequence is not None:
        inputs["sequences"] = (manifest.sequence.length, len(manifest.sequence.channels))
    for expected, got in model.differences(inputs, classes=len(manifest.classes)):
        yield Problem(str(path), "", expected, got, _REMEDY)


def _manifest(result: BuildResult, name: str, spec_sha256: str | None) -> StaManifest:
    sequence = None
    if result.sequence_length is not None:
        sequence = PacketSequence(length=result.sequence_length, channels=result.sequence_channels)
    return StaManifest(
        name=name,
        task=result.task,
        classes=result.labels,
        positive=result.positive,
        features=result.features,
        sequence=sequence,
        table=result.table,
        preprocessing=result.preprocessing,
        quantiles=result.quantiles,
        calibration=result.calibration,
        novelty=result.novelty,
        quality=_quality(result),
        model=ModelFile(
            sha256=hashlib.sha256(result.onnx).hexdigest(), size_bytes=len(result.onnx)
        ),
        provenance=_provenance(result, spec_sha256),
    )


def _quality(result: BuildResult) -> Quality:
    found = result.findings
    quality = Quality(
        metric=result.metric,
        validation=result.validation,
        validation_score=result.validation_score,
        test=result.test,
        unseen=result.unseen,
    )
    if found is None:
        return quality
    return quality.model_copy(
        update={
            "intervals": found.test.intervals,
            "ece": found.test.ece,
            "unseen_intervals": {} if found.unseen is None else found.unseen.intervals,
            "families": found.families,
            "carried": found.carried,
            "speed": found.speed,
            "open_set": found.open_set,
        }
    )


def _provenance(result: BuildResult, spec_sha256: str | None) -> Provenance:
    return Provenance(
        dataset=Path(result.dataset_path).name,
        dataset_sha256=result.dataset_sha256,
        spec_sha256=spec_sha256,
        train_runs=result.train_runs,
        test_runs=result.test_runs,
        train_flows=result.train_flows,
        skipped_rows=result.skipped_rows,
        seed=result.seed,
        family=result.winner.family,
        params=result.winner.params,
        config=result.config,
        versions=result.versions,
        notes=result.notes,
    )
