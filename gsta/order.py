"""A spec with everything it names, checked before hours are spent on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import all_checks
from builder import BuildConfig
from builder.columns import choose_columns
from builder.forecast.config import ForecastConfig, SeriesConfig
from builder.metrics import LIMITS
from flowmeter import flow_schema
from gsta.spec import Spec
from launcher.compile import check_kinds
from tagger import Rulebook, load_rules
from topologies import Topology, load_topology
from topologies.document import Document, Location, read_source, validate
from topologies.errors import InputError, NotFoundError, Problem


@dataclass(frozen=True, slots=True)
class Order:
    """A checked spec with the topologies and rules it names."""

    spec: Document[Spec]
    topologies: tuple[Document[Topology], ...]
    unseen: tuple[Document[Topology], ...]
    rules: Document[Rulebook]

    def build_config(self, *, threads: int) -> BuildConfig:
        """The builder's part of the spec."""
        spec = self.spec.model
        return BuildConfig(
            task="binary" if spec.task.positive else "multiclass",
            positive=spec.task.positive,
            target=spec.task.target,
            features=spec.features,
            families=spec.search.families,
            heuristic=spec.search.heuristic,
            trials=spec.search.trials,
            time_budget_s=spec.search.time_budget_s,
            metric=spec.search.metric,
            folds=spec.search.folds,
            seed=spec.search.seed,
            threads=threads,
            unknown=spec.task.unknown,
            limits=spec.limits,
            study_s=spec.search.study_s,
        )

    def forecast_config(self, *, threads: int) -> ForecastConfig:
        """The builder's part of a spec that asks for a forecast."""
        search = self.spec.model.search
        series = self.spec.model.task.forecast or SeriesConfig()
        asked: dict[str, Any] = series.model_dump()
        if "families" in search.model_fields_set:
            asked["families"] = search.families
        return ForecastConfig(
            **asked,
            heuristic=search.heuristic,
            trials=search.trials,
            time_budget_s=search.time_budget_s,
            folds=search.folds,
            seed=search.seed,
            threads=threads,
        )


def load_spec(path: Path) -> Order:
    """Read a spec and everything it names.

    Raises
    ------
    InputError
        Spec, topology or rules have faults; all of them are listed.
    """
    document = validate(read_source(path), Spec)
    problems: list[Problem] = []
    spec = document.model
    topologies = _topologies(document, "topology", spec.topologies, problems)
    unseen = _topologies(document, "unseen", spec.unseen, problems)
    problems += _same_names(document, (*topologies, *unseen))
    rules = _rules(document, problems)
    problems += _features(document)
    problems += _checks(document)
    problems += _allowed(document)
    problems += _bars(document)
    if rules is not None:
        problems += _classes(document, rules.model)
    if problems or rules is None:
        raise InputError(problems)
    return Order(document, topologies, unseen, rules)


def _topologies(
    document: Document[Spec], key: str, names: tuple[str, ...], problems: list[Problem]
) -> tuple[Document[Topology], ...]:
    found = []
    for name in names:
        try:
            topology = load_topology(name, folder=document.folder)
        except NotFoundError as error:
            what = "a topology file (relative to the spec) or a library name"
            problems.append(_missing(document, key, name, what, error))
        except InputError as error:
            problems += error.problems
        else:
            problems += check_kinds(topology)
            found.append(topology)
    return tuple(found)


def _same_names(
    document: Document[Spec], topologies: tuple[Document[Topology], ...]
) -> Iterator[Problem]:
    """Topologies that a dataset could not tell apart."""
    names = [one.model.name for one in topologies]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield document.source.problem(
            ("topology",),
            expected="topologies of different names",
            got=f"several that say 'name: {name}'",
            remedy="give each file a name of its own",
        )


def _rules(document: Document[Spec], problems: list[Problem]) -> Document[Rulebook] | None:
    name = document.model.rules
    is_file = "/" in name or name.endswith((".yaml", ".yml"))
    try:
        return load_rules(document.folder / name if is_file else name)
    except NotFoundError as error:
        what = "a rule file (relative to the spec) or the name of one that ships"
        problems.append(_missing(document, "rules", name, what, error))
    except InputError as error:
        problems += error.problems
    return None


def _missing(
    document: Document[Spec], key: str, name: str, what: str, error: NotFoundError
) -> Problem:
    remedy = error.problems[0].remedy
    return document.source.problem((key,), expected=what, got=f"'{name}'", remedy=remedy)


def _features(document: Document[Spec]) -> Iterator[Problem]:
    try:
        choose_columns(flow_schema(), document.model.features, file=document.source.file)
    except InputError as error:
        for problem in error.problems:
            yield document.source.problem(
                ("features", problem.path),
                expected=problem.expected,
                got=problem.got,
                remedy=problem.remedy,
            )


def _checks(document: Document[Spec]) -> Iterator[Problem]:
    known = all_checks()
    for name, reason in document.model.accept_checks.items():
        location: Location = ("accept_checks", name)
        if name not in known:
            yield document.source.problem(
                location,
                expected=f"one of the checks {', '.join(known)}",
                got=f"'{name}'",
                remedy="correct the name",
            )
        if not reason.strip():
            yield document.source.problem(
                location,
                expected="the reason why it may fail",
                got="nothing",
                remedy="write it; the dataset's card shows it",
            )


def _allowed(document: Document[Spec]) -> Iterator[Problem]:
    """Features that may give a class away, and do not exist or have no reason."""
    known = {field.name for field in flow_schema()}
    known |= {(field.metadata or {}).get(b"group", b"").decode() for field in flow_schema()}
    for name, reason in document.model.allow.items():
        if name.rpartition("/")[2] not in known or not reason.strip():
            yield document.source.problem(
                ("allow", name),
                expected="a feature, CLASS/FEATURE or CLASS/GROUP, and the reason why",
                got=f"'{name}: {reason}'",
                remedy="correct the name, or write the reason; the dataset's card shows it",
            )


def _bars(document: Document[Spec]) -> Iterator[Problem]:
    """Scores that no model can reach, and costs that none can keep."""
    for name, bar in document.model.acceptance.items():
        if name not in LIMITS and bar > 1:
            expected, remedy = f"a share from 0 to 1 for {name}", f"for example {name}: 0.9"
        elif name in LIMITS and bar == 0:
            expected, remedy = f"more than 0 for {name}", f"for example {name}: 200"
        else:
            continue
        yield document.source.problem(
            ("acceptance", name), expected=expected, got=f"{bar:g}", remedy=remedy
        )


def _classes(document: Document[Spec], rules: Rulebook) -> Iterator[Problem]:
    """Classes that the spec names and no rule can give."""
    spec = document.model
    known = list(rules.labels)
    if spec.task.target == "category":
        known = sorted({label.category for label in rules.labels.values()})
    named: list[tuple[Location, str]] = [
        (("task", "positive", index), name) for index, name in enumerate(spec.task.positive)
    ]
    if spec.task.type == "multiclass":
        measured = ((measure, measure.partition(":")[2]) for measure in spec.acceptance)
        named += [(("acceptance", measure), name) for measure, name in measured if name]
    for location, name in named:
        if name not in known:
            yield document.source.problem(
                location,
                expected=f"a {spec.task.target} of the rules: {', '.join(known)}",
                got=f"'{name}'",
                remedy="correct the name",
            )
