"""What the builder hands over: frozen records, plain values that JSON can hold (but the model)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from builder.calibration import UNCALIBRATED, Calibration
from builder.decision import EVEN
from builder.novelty import Novelty
from builder.preprocess import Preprocessing

if TYPE_CHECKING:
    from builder.evaluation.records import Findings

__all__ = [
    "BuildResult",
    "ClassScore",
    "Evaluation",
    "FeatureField",
    "Param",
    "Preprocessing",
    "Quantiles",
    "TableFormat",
    "Trial",
]

Param = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class FeatureField:
    """One feature of the flow table, as the model expects it."""

    name: str
    dtype: str  # of the flow table, for example uint32
    unit: str
    group: str
    categories: tuple[str, ...] = ()  # of text: each stands for its place, any other for NaN


@dataclass(frozen=True, slots=True)
class TableFormat:
    """How the files of a foreign flow table are written: what reading one more needs."""

    header: tuple[str, ...]  # names of the columns where the first line is none
    delimiter: str
    encoding: str
    missing: tuple[str, ...]  # texts of an unknown value
    suffixes: dict[str, float]  # what a letter after a number multiplies it by


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of hyperparameters and how it did in validation."""

    number: int
    family: str
    params: dict[str, Param]
    fold_scores: tuple[float, ...]  # high is better; those finished before a failure
    score: float | None  # mean of the folds; None unless ok
    seconds: float
    status: Literal["ok", "failed", "skipped"]
    error: str | None = None
    seed: int = 0  # of the training
    budget: float = 1.0  # share of the full training that the score was reached with


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class on the judged flows. Each ratio is in [0, 1], 0 where it is not defined."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int  # flows that truly are of this class


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model judged on labelled flows."""

    classes: tuple[ClassScore, ...]
    f1_macro: float
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]  # rows: truth, columns: answer, order of labels
    labels: tuple[str, ...]
    flows: int


@dataclass(frozen=True, slots=True)
class Quantiles:
    """How each raw feature was distributed in training: what drift is measured against.

    ``values[i]`` are the quantiles of feature i at ``probabilities``, missing values left out;
    empty where every value was missing. ``missing[i]`` is the share of missing values.
    """

    probabilities: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]
    missing: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The winner, how it was found and how it did on the test run.

    ``onnx`` takes ``features`` float32 [n, preprocessing.width], as ``preprocessing.apply`` makes
    them of the raw features, and/or ``sequences`` float32 [n, sequence_length, channels], raw;
    its output ``probabilities`` is float32 [n, len(labels)], in the order of ``labels``;
    ``calibration`` then makes them what the STA says, ``threshold`` which class it answers, and
    ``novelty`` says which answers are ``unknown``.
    """

    task: Literal["multiclass", "binary"]
    positive: tuple[str, ...]  # binary: the labels that count as positive, class 1
    labels: tuple[str, ...]  # of the model's classes, in output order
    features: tuple[FeatureField, ...]  # in input order; empty for a pure sequence model
    sequence_length: int | None
    sequence_channels: tuple[str, ...]
    preprocessing: Preprocessing
    quantiles: Quantiles
    trials: tuple[Trial, ...]  # by number, the baselines last
    winner: Trial
    validation_score: float
    validation: str  # how validation was done, for example '3 folds, grouped by activity'
    metric: str
    test: Evaluation
    onnx: bytes
    dataset_path: str
    dataset_sha256: str  # of dataset.json, which holds the digests of the other files
    train_runs: tuple[str, ...]
    test_runs: tuple[str, ...]
    train_flows: int
    skipped_rows: dict[str, int]  # why flows were left out -> how many
    seed: int
    config: dict[str, Any]  # the BuildConfig, resolved
    versions: dict[str, str]
    timings: dict[str, float]  # seconds per stage
    notes: tuple[str, ...]  # what a reader of the scores has to know
    table: TableFormat | None = None  # of a foreign flow table; None: our own
    unseen: Evaluation | None = None  # on the runs of topologies that training had nothing of
    unseen_runs: tuple[str, ...] = ()
    calibration: Calibration = UNCALIBRATED
    threshold: float = EVEN  # binary: above it, class 1 is answered
    novelty: Novelty | None = None
    findings: Findings | None = None  # None: of a result made by hand

    def to_json(self) -> dict[str, Any]:
        """Everything but the model's bytes."""
        small = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "onnx"}
        return {
            name: asdict(value) if hasattr(value, "__dataclass_fields__") else _plain(value)
            for name, value in small.items()
        }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [asdict(v) if hasattr(v, "__dataclass_fields__") else v for v in value]
    return value
