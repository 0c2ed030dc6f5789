"""What a user may say about a build. A customer spec embeds these models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from builder.families import BASELINES, families
from builder.heuristics import HeuristicName
from builder.metrics import LIMITS, Metric
from builder.preprocess import Missing
from topologies.faults import fault


class Model(BaseModel):
    """Base: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _limit(name: str) -> str:
    if name not in LIMITS:
        raise fault(expected=f"one of {', '.join(LIMITS)}", got=name, remedy="correct the name")
    return name


class FeatureSelection(Model):
    """Which columns of the flow table a model may see. Never an address, a port or a date."""

    set: Literal["flow", "packets", "all"] = Field(
        "all", description="statistics of the whole flow, sequences of its first packets, or both"
    )
    groups: tuple[str, ...] = Field(
        (), description="groups of statistics, for example sizes; none named: every group"
    )
    leave_out: tuple[str, ...] = Field(
        ("stack",),
        description="groups that 'every group' is without: TTL and TCP window, by which a lab "
        "betrays itself",
    )
    include: tuple[str, ...] = Field(
        (), description="statistics by name, besides those of the groups; alone: only these"
    )
    exclude: tuple[str, ...] = Field((), description="statistics to leave out, by name")


class Unknown(Model):
    """That a flow unlike anything trained on is answered ``unknown``."""

    coverage: Annotated[float, Field(ge=0.5, lt=1)] = Field(
        0.99, description="share of flows of known kinds that keep their answer"
    )


class BuildConfig(Model):
    """What to learn, from which features, and how long to search."""

    task: Literal["multiclass", "binary"] = Field(
        "multiclass", description="tell all classes apart, or one kind from the rest"
    )
    target: Literal["label", "category", "malicious"] = Field(
        "label", description="column of the labels that holds the class"
    )
    positive: tuple[str, ...] = Field(
        (), description="binary: values of the target that count as the positive class"
    )
    features: FeatureSelection = FeatureSelection()
    families: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ("random_forest", "xgboost"), description="kinds of model; they share the trials"
    )
    heuristic: HeuristicName = Field(
        "random",
        description="draw at random; halving: a little training for all, more for the best third; "
        "tpe: learn where good values lie",
    )
    trials: Annotated[int, Field(ge=1, le=100_000)] = Field(
        20, description="sets of hyperparameters to try"
    )
    time_budget_s: Annotated[float, Field(gt=0, le=604_800)] = Field(
        600.0, description="no trial starts after this long, and running ones end"
    )
    trial_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = Field(
        300.0, description="a trial that takes longer has failed"
    )
    metric: Metric = Field("f1_macro", description="what validation maximises")
    folds: Annotated[int, Field(ge=2, le=20)] = Field(
        3, description="of the cross-validation; unused from 200,000 training flows up"
    )
    unknown: Unknown | None = Field(
        None, description="when to answer 'unknown'; null: always one of the classes"
    )
    limits: dict[Annotated[str, AfterValidator(_limit)], Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="most that the winner may cost: latency_us_per_flow, bulk_us_per_flow, size_mb",
    )
    study_s: Annotated[float, Field(ge=0, le=604_800)] = Field(
        0.0,
        description="time to study the winner in: importance, unknown classes, ablation, learning "
        "curve; what does not fit is left out",
    )
    missing: Missing = Field(
        "constant",
        description="what stands for a missing value: -1, the median, or the median and a flag",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="of every draw")
    threads: Annotated[int, Field(ge=1, le=256)] = Field(1, description="of one trial")

    @field_validator("families")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        classifiers = [
            name
            for name, family in families().items()
            if family.task == "classify" and name not in BASELINES
        ]
        for name in names:
            if name not in classifiers or names.count(name) > 1:
                raise fault(
                    expected=f"families among {', '.join(classifiers)}, each once",
                    got=name,
                    remedy="correct the list",
                )
        return names

    @model_validator(mode="after")
    def _positive_goes_with_binary(self) -> BuildConfig:
        if (self.task == "binary") != bool(self.positive):
            raise fault(
                expected="positive for the binary task, and only for it",
                got=f"task {self.task}, positive {list(self.positive)}",
                remedy="name the labels to detect, for example positive: [cryptomining]",
            )
        return self
