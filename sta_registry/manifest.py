"""The manifest of an STA, ``sta.json``: everything its model needs to be fed, read and trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from builder.calibration import UNCALIBRATED, Calibration
from builder.evaluation.records import Carried, FamilyScore, Interval, OpenSet, Speed
from builder.novelty import UNKNOWN, Novelty
from builder.preprocess import Preprocessing
from builder.result import Evaluation, FeatureField, Param, Quantiles, TableFormat
from topologies.errors import InputError, NotFoundError, Problem
from topologies.records import damaged_record

STA_FORMAT: Final = "gsta-sta/1"
MANIFEST_FILE: Final = "sta.json"
MODEL_FILE: Final = "model.onnx"
CARD_FILE: Final = "model_card.md"
MAX_MANIFEST_BYTES: Final = 16 << 20


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PacketSequence(_Part):
    """What a sequence model reads: the first ``length`` packets, one channel per column."""

    length: int = Field(gt=0)
    channels: tuple[str, ...] = Field(min_length=1, description="for example size_bytes")

    @property
    def columns(self) -> tuple[str, ...]:
        """The flow table's column of each channel."""
        return tuple(f"seq_{channel}" for channel in self.channels)


class ModelFile(_Part):
    """The ONNX file beside the manifest."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(gt=0)


class Quality(_Part):
    """How good the model was: on the validation folds, and once on the test run.

    ``unseen`` is on topologies of which training had nothing, where the spec names some.
    """

    metric: str
    validation: str
    validation_score: float
    test: Evaluation
    intervals: dict[str, Interval] = Field(
        default_factory=dict, description="95 %, of figures on the test run, by name"
    )
    ece: float | None = Field(None, description="calibration error on the test run")
    unseen: Evaluation | None = Field(
        None, description="on flows of a topology that training never saw"
    )
    unseen_intervals: dict[str, Interval] = Field(default_factory=dict)
    families: tuple[FamilyScore, ...] = Field(
        (), description="the best of each family, on the test run"
    )
    carried: tuple[Carried, ...] = Field(
        (), description="by a random split, and on each topology without having trained on it"
    )
    speed: Speed | None = None
    open_set: OpenSet | None = None


class Provenance(_Part):
    """Where the model comes from, enough to build it again."""

    dataset: str = Field(description="name of its folder")
    dataset_sha256: str = Field(description="of its dataset.json")
    spec_sha256: str | None
    train_runs: tuple[str, ...]
    test_runs: tuple[str, ...]
    train_flows: int
    skipped_rows: dict[str, int]
    seed: int
    family: str
    params: dict[str, Param]
    config: dict[str, Any]
    versions: dict[str, str]
    notes: tuple[str, ...]


class StaManifest(_Part):
    """One smart traffic analyser, described.

    ``classes`` are in the order of the model's outputs, ``features`` in the order of its inputs;
    ``positive`` are the labels that class 1 of a binary analyser stands for.
    """

    format: Literal["gsta-sta/1"] = STA_FORMAT
    name: str
    task: Literal["multiclass", "binary"]
    classes: tuple[str, ...] = Field(min_length=2)
    positive: tuple[str, ...]
    features: tuple[FeatureField, ...]
    sequence: PacketSequence | None
    table: TableFormat | None = Field(
        None, description="how files of a foreign flow table are written; null: our flow table"
    )
    preprocessing: Preprocessing
    quantiles: Quantiles
    calibration: Calibration = UNCALIBRATED
    novelty: Novelty | None = Field(None, description="when the answer is 'unknown'; null: never")
    quality: Quality
    model: ModelFile
    provenance: Provenance

    @model_validator(mode="after")
    def _is_consistent(self) -> StaManifest:
        names = [feature.name for feature in self.features]
        steps = self.preprocessing
        faults = {
            "classes have distinct names": len(set(self.classes)) == len(self.classes),
            "classes are printable": all(label.isprintable() for label in self.classes),
            "features have distinct names": len(set(names)) == len(names),
            "there are features or a sequence": bool(names) or self.sequence is not None,
            "preprocessing has one value per feature": (
                {len(steps.fill), len(steps.low), len(steps.high)} == {len(names)}
            ),
            "preprocessing indicators point at features": all(
                0 <= position < len(names) for position in steps.indicators
            ),
            "preprocessing knows the categories of each feature of text": (
                {one.position for one in steps.one_hot}
                == {place for place, feature in enumerate(self.features) if feature.categories}
            ),
            "quantiles have one entry per feature": len(self.quantiles.values) == len(names),
            "calibration has one curve per class": self.calibration.fits(len(self.classes)),
            "novelty has the sizes of the model and no class its name": self.novelty is None
            or (
                self.novelty.fits(features=len(names), classes=len(self.classes))
                and UNKNOWN not in self.classes
            ),
        }
        broken = [rule for rule, holds in faults.items() if not holds]
        if broken:
            raise ValueError(f"it does not hold that {' and that '.join(broken)}")
        return self

    def to_text(self) -> str:
        """The manifest as the JSON text of ``sta.json``."""
        return self.model_dump_json(indent=2) + "\n"


def read_manifest(folder: Path) -> StaManifest:
    """Read ``sta.json`` of an STA folder.

    Raises
    ------
    NotFoundError
        There is no such folder, or it holds no manifest.
    InputError
        The manifest is damaged, or is one of another program; every fault is listed.
    """
    path = folder / MANIFEST_FILE
    remedy = "give the folder of an STA, as 'gsta build' writes it"
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "nothing"
        raise NotFoundError(Problem(str(path), "", "an STA manifest", reason, remedy)) from error
    if len(data) > MAX_MANIFEST_BYTES:
        size = f"{len(data)} bytes"
        raise InputError(
            Problem(str(path), "", f"at most {MAX_MANIFEST_BYTES} bytes", size, remedy)
        )
    try:
        return StaManifest.model_validate_json(data)
    except ValidationError as error:
        raise damaged_record(
            path,
            error,
            expected="a valid STA manifest",
            remedy="the folder is damaged or foreign: fetch or build the STA again",
        ) from error
