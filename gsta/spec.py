"""What a customer asks for: the spec of one Smart Traffic Analyser."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from builder import BuildConfig, FeatureSelection
from builder.config import Unknown
from builder.families import families
from builder.forecast.config import SeriesConfig, known_forecasters
from builder.forecast.families import forecasters
from builder.heuristics import HeuristicName
from builder.metrics import LIMITS, METRICS, Metric
from sta_registry.acceptance import BEAT, FORECAST, PER_CLASS
from topologies.faults import fault
from topologies.schema import Model, Name

Bar = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(ge=1, le=86_400)]


class Task(Model):
    """What the analyser has to tell apart, or to forecast."""

    type: Literal["multiclass", "binary", "forecast"] = Field(
        "multiclass",
        description="every label a class, some labels against all others, or traffic to come",
    )
    target: Literal["label", "category", "malicious"] = Field(
        "label", description="what a class is"
    )
    positive: tuple[Name, ...] = Field(
        (), description="values that are the positive class (binary)"
    )
    unknown: Unknown | None = Field(
        None, description="when a flow is answered 'unknown'; null: always one of the classes"
    )
    forecast: SeriesConfig | None = Field(
        None, description="which series, and how far (forecast); null: bytes of each service"
    )

    @model_validator(mode="after")
    def _positive_fits(self) -> Self:
        if (self.type == "binary") != bool(self.positive):
            raise fault(
                expected="labels under 'positive' exactly when the type is binary",
                got=f"type {self.type}, positive {list(self.positive)}",
                remedy="for example {type: binary, positive: [mining]}",
            )
        if self.forecast is not None and self.type != "forecast":
            raise fault(
                expected="'forecast' only where that is the type",
                got=f"type {self.type}",
                remedy="for example {type: forecast, forecast: {of: bytes, per: service}}",
            )
        return self


class Experiment(Model):
    """One run of the topology."""

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)]
    seconds: Seconds | None = Field(
        None, description="how long it lasts; null is as experiments.seconds says"
    )


class Experiments(Model):
    """Of each topology, the run that trains and the run that judges."""

    train: Experiment = Experiment(seed=1)
    test: Experiment = Experiment(seed=2)
    seconds: Seconds | None = Field(
        None, description="how long each lasts, all phases scaled; null is as its topology says"
    )

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.train.seed == self.test.seed:
            raise fault(
                expected="different seeds for train and test",
                got=f"{self.train.seed} twice",
                remedy="change one: a test on the training traffic proves nothing",
            )
        return self


class Search(Model):
    """How the model is looked for."""

    families: Annotated[tuple[str, ...], Field(min_length=1)] = ("random_forest", "xgboost")
    heuristic: HeuristicName = Field(
        "random",
        description="draw at random; halving: a little training for all, more for the best third; "
        "tpe: learn where good values lie",
    )
    trials: Annotated[int, Field(ge=1, le=100_000)] = Field(12, description="over all families")
    time_budget_s: Annotated[float, Field(gt=0, le=604_800)] = Field(
        90.0, description="no trial starts after this long, and running ones end"
    )
    study_s: Annotated[float, Field(ge=0, le=604_800)] = Field(
        60.0,
        description="time after the search to study the winner in, for the report: importance, "
        "feature groups left out, learning curve, classes left out; 0: none",
    )
    metric: Metric = Field(
        "f1_macro", description="what validation maximises; of a forecast always the negative MAE"
    )
    folds: Annotated[int, Field(ge=2, le=20)] = 3
    ray_address: str | None = Field(
        None, description="Ray cluster to search on; null is this machine"
    )
    cpus_per_trial: Annotated[float, Field(gt=0)] | None = Field(
        None, description="may be a fraction; null is one"
    )
    gpus_per_trial: Annotated[float, Field(gt=0)] | None = Field(
        None, description="may be a fraction; null is an even share, for networks only"
    )
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0

    @field_validator("families")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not set(names) <= {*families(), *forecasters()}:  # the spec knows which are meant
            BuildConfig(families=names)  # raises what the builder expects
        return names


def _measure(name: str) -> str:
    overall, _, label = name.partition(":")
    known = (*METRICS, *LIMITS, *FORECAST)
    if name not in known and not (label and overall in PER_CLASS):
        raise fault(
            expected=f"{', '.join(known)}, or {', '.join(PER_CLASS)} of a class",
            got=f"'{name}'",
            remedy="for example f1_macro: 0.9 or 'recall:mining': 0.95",
        )
    return name


class Spec(Model):
    """A customer's order."""

    name: Name
    description: str = ""
    task: Task = Task()
    topology: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="a file, relative to the spec, or a name of the library; or several of them"
    )
    unseen: tuple[str, ...] = Field(
        (), description="topologies that are judged on, with the seed of the test, and never learnt"
    )
    experiments: Experiments = Experiments()
    rules: str = Field(
        "traffic", description="a rule file, relative to the spec, or the name of one that ships"
    )
    features: FeatureSelection = FeatureSelection()
    search: Search = Search()
    acceptance: dict[Annotated[str, AfterValidator(_measure)], Bar] = Field(
        {"f1_macro": 0.9},
        description="what a champion needs: least scores on the test run, most that it may cost",
    )
    accept_checks: dict[str, str] = Field(
        default_factory=dict, description="audit checks that may fail, each with the reason why"
    )
    allow: dict[str, str] = Field(
        default_factory=dict,
        description="features that may give a class away (checks D2 and D3), each with the reason "
        "why: FEATURE, CLASS/FEATURE or CLASS/GROUP",
    )
    register_as: Name | None = Field(None, description="model name; null is the spec's name")

    @model_validator(mode="after")
    def _topologies_differ(self) -> Self:
        named = (*self.topologies, *self.unseen)
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise fault(
                expected="each topology once, under 'topology' or under 'unseen'",
                got=f"{', '.join(twice)} more often",
                remedy="leave one out",
            )
        return self

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        if self.task.type != "forecast":
            BuildConfig(families=self.search.families)
            foreign = sorted(set(self.acceptance) & set(FORECAST))
        else:
            if "families" in self.search.model_fields_set:
                known_forecasters(self.search.families)
            if len(self.topologies) + len(self.unseen) > 1:
                raise fault(
                    expected="one topology to forecast, and none unseen",
                    got=", ".join((*self.topologies, *self.unseen)),
                    remedy="what one network carries says nothing of another: one spec for each",
                )
            foreign = sorted(set(self.bars) - set(FORECAST))
        if foreign:
            raise fault(
                expected=f"bars of a {self.task.type} task ({', '.join(FORECAST)} of a forecast)",
                got=", ".join(foreign),
                remedy="leave them out",
            )
        return self

    @property
    def bars(self) -> dict[str, float]:
        """The acceptance; where none is written, a forecast has to beat the seasonal naive one."""
        written = self.task.type != "forecast" or "acceptance" in self.model_fields_set
        return self.acceptance if written else dict(BEAT)

    @property
    def topologies(self) -> tuple[str, ...]:
        """Names of the topologies that are trained and tested on."""
        return (self.topology,) if isinstance(self.topology, str) else self.topology

    @property
    def limits(self) -> dict[str, float]:
        """The part of the acceptance that the search has to keep: what a model may cost."""
        return {name: bar for name, bar in self.acceptance.items() if name in LIMITS}

    @property
    def model_name(self) -> str:
        """Name the model is registered under."""
        return self.register_as or self.name
