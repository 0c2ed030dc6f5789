"""Labelling rules as people write them: conditions on the journal, a label, a reason in words."""

from __future__ import annotations

import string
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator

from tagger.when import When, some
from topologies.document import Document, read_source, validate
from topologies.errors import InputError, NotFoundError, Problem
from topologies.faults import fault
from topologies.schema import Model, Name

RULES: Final = Path(__file__).parent / "rules"
DEFAULT: Final = "traffic"
UNLABELLED: Final = "unlabelled"
AMBIGUOUS: Final = "ambiguous"
PLACEHOLDERS: Final = ("activity", "kind", "variant", "name", "user", "host", "service")


class Label(Model):
    """What a label of the closed vocabulary stands for."""

    category: Name
    malicious: bool
    description: str = ""


class Rule(Model):
    """One rule: flows of these activities get this label."""

    id: Name
    priority: int = Field(0, description="the highest matching priority decides")
    when: When
    label: Name
    reason: Annotated[str, Field(min_length=1, max_length=500)]

    @field_validator("reason")
    @classmethod
    def _known_placeholders(cls, reason: str) -> str:
        expected = f"text with the placeholders {', '.join(f'{{{p}}}' for p in PLACEHOLDERS)} only"
        remedy = "a literal brace is written {{ or }}"
        try:
            parts = list(string.Formatter().parse(reason))
        except ValueError as error:
            raise fault(expected=expected, got=str(error), remedy=remedy) from error
        for _, field, specification, conversion in parts:
            if field is not None and (field not in PLACEHOLDERS or specification or conversion):
                raise fault(expected=expected, got=f"'{{{field}}}'", remedy=remedy)
        return reason


class Rulebook(Model):
    """A rule file: the closed vocabulary and the rules that use it."""

    format: Literal[1] = 1
    name: Name
    description: str = ""
    labels: Annotated[dict[Name, Label], Field(min_length=1, max_length=500)]
    rules: Annotated[tuple[Rule, ...], AfterValidator(some)]
    network: Name | None = Field(
        None, description="label of the network's own traffic, which is left out where this is null"
    )

    @property
    def features(self) -> tuple[str, ...]:
        """Flow features that some rule asks for."""
        asked = {name for rule in self.rules for name in rule.when.features or ()}
        return tuple(sorted(asked))


def rulebooks() -> tuple[str, ...]:
    """Names of the rule files that ship with the package."""
    return tuple(sorted(path.stem for path in RULES.glob("*.yaml")))


def load_rules(reference: str | Path | None = None) -> Document[Rulebook]:
    """Read a rule file by path or by the name of one that ships; None is `traffic`.

    Raises
    ------
    NotFoundError
        There is no such file and no such name.
    InputError
        The file has faults; all of them are listed.
    """
    document = validate(read_source(_find(str(reference or DEFAULT))), Rulebook)
    problems = list(_faults(document))
    if problems:
        raise InputError(problems)
    return document


def _find(reference: str) -> Path:
    if "/" in reference or reference.endswith((".yaml", ".yml")):
        return Path(reference)
    if reference in rulebooks():
        return RULES / f"{reference}.yaml"
    raise NotFoundError(
        Problem(
            reference,
            "",
            "a rule file or the name of one that ships",
            f"'{reference}'",
            f"these ship: {', '.join(rulebooks())}",
        )
    )


def _faults(document: Document[Rulebook]) -> Iterator[Problem]:
    book, source = document.model, document.source
    for label in book.labels:
        if label in {UNLABELLED, AMBIGUOUS}:
            yield source.problem(
                ("labels", label),
                expected="a label of your own",
                got=f"'{label}'",
                remedy="this word is kept for flows that no rule decides; rename the label",
            )
    if book.network is not None and book.network not in book.labels:
        yield source.problem(
            ("network",),
            expected=f"one of {', '.join(book.labels)}",
            got=f"'{book.network}'",
            remedy="use a label of the list, or add it under labels:",
        )
    seen: set[str] = set()
    for index, rule in enumerate(book.rules):
        if rule.id in seen:
            yield source.problem(
                ("rules", index, "id"),
                expected="each rule id once",
                got=f"'{rule.id}' again",
                remedy="rename one of the two",
            )
        seen.add(rule.id)
        if rule.label not in book.labels:
            yield source.problem(
                ("rules", index, "label"),
                expected=f"one of {', '.join(book.labels)}",
                got=f"'{rule.label}'",
                remedy="use a label of the list, or add it under labels:",
            )
