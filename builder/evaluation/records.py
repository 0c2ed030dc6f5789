"""What an honest evaluation finds: frozen records of plain values, as JSON holds them."""

from __future__ import annotations

from dataclasses import dataclass

from builder.result import Evaluation


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval, by resampling activities."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision against recall of one class, as its threshold falls; recall never falls."""

    label: str
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    average_precision: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Flows whose most likely class had about the same probability."""

    confidence: float  # mean probability that was said
    accuracy: float  # share of them that was right
    flows: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """A model on flows that it had not seen."""

    evaluation: Evaluation
    intervals: dict[str, Interval]  # of f1_macro, accuracy, and precision:LABEL and so on
    curves: tuple[Curve, ...]  # of the classes that occur
    bins: tuple[Bin, ...]
    ece: float  # expected calibration error: mean gap between confidence and accuracy
    log_loss: float


@dataclass(frozen=True, slots=True)
class Speed:
    """What an exported model costs, on one core of the machine that built it."""

    latency_us_per_flow: float  # one flow at a time, preprocessing included; median
    bulk_us_per_flow: float  # thousands of flows at once; best of several
    size_mb: float  # of the exported model, 10^6 bytes


@dataclass(frozen=True, slots=True)
class FamilyScore:
    """The best of one family: chosen in validation, shown on the test run."""

    family: str
    trial: int
    validation_score: float
    f1_macro: float
    interval: Interval
    speed: Speed
    pareto: bool  # no other is both better in validation and faster
    fits: bool  # the limits of the acceptance
    winner: bool
    tried: int = 1  # sets of hyperparameters that got a score
    in_full: int = 1  # of them, those with all the training there is


@dataclass(frozen=True, slots=True)
class History:
    """The loss, epoch after epoch, of the best of a family that is trained in epochs."""

    family: str
    trial: int
    loss: tuple[float, ...]
    held_back: tuple[float, ...]  # on training flows held back to know when to stop; may be empty


@dataclass(frozen=True, slots=True)
class Ablation:
    """The winner's kind of model without one group of features."""

    group: str
    features: int
    score: float
    change: float  # of the validation score; below 0: the group is missed


@dataclass(frozen=True, slots=True)
class Importance:
    """How much the winner leans on a feature; the share of all features together is 1."""

    feature: str
    share: float


@dataclass(frozen=True, slots=True)
class Explained:
    """Why one flow got its answer: its features that spoke loudest, for or against."""

    flow_id: str
    truth: str
    answer: str
    probability: float
    contributions: tuple[tuple[str, float | None, float], ...]  # feature, value, contribution


@dataclass(frozen=True, slots=True)
class LearningPoint:
    """The winner's kind of model, trained on some of the activities."""

    flows: int
    score: float


@dataclass(frozen=True, slots=True)
class ActivityErrors:
    """An activity of the test run that was not always recognised."""

    activity: str
    label: str
    flows: int
    wrong: int
    answers: dict[str, int]  # the wrong ones


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A class that was kept from training, and what became of its flows."""

    label: str
    flows: int
    unknown: float  # share that was answered unknown
    by_doubt: float  # share, had only the probabilities been asked


@dataclass(frozen=True, slots=True)
class Carried:
    """The winner's kind of model, trained on other rows: macro-F1 on flows of the test run."""

    topology: str | None  # that it was not trained on; None: rows were dealt at random instead
    flows: int
    score: float
    interval: Interval
    usual: float  # of the winner: on the same flows or, of the random split, on the test run


@dataclass(frozen=True, slots=True)
class OpenSet:
    """How the answer ``unknown`` does."""

    coverage: float  # share of known flows that should keep their answer
    test_coverage: float  # that did, on the test run
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """All that is known of the winner and its rivals."""

    validation: Judgement  # out-of-fold, calibrated
    test: Judgement
    unseen: Judgement | None  # flows of a topology that training never saw
    families: tuple[FamilyScore, ...]
    calibration_losses: dict[str, float]  # log loss of each method, out of fold
    raw_ece: float  # out of fold, before calibration
    errors: tuple[ActivityErrors, ...]
    open_set: OpenSet | None = None
    ablation: tuple[Ablation, ...] = ()
    importance: tuple[Importance, ...] = ()
    importance_method: str = ""
    explained: tuple[Explained, ...] = ()
    carried: tuple[Carried, ...] = ()
    learning: tuple[LearningPoint, ...] = ()
    histories: tuple[History, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def speed(self) -> Speed:
        """What the winner costs."""
        return next(family.speed for family in self.families if family.winner)
