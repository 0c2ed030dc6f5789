"""A journal that somebody wrote of a capture made elsewhere: one JSON object for each activity.

The rules see it as they see the launcher's. `docs/labels.md` has the format, with an example.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Self

import pyarrow as pa
from pydantic import BeforeValidator, Field, model_validator

from launcher.activities import catalogue
from launcher.records import ActivityRecord, Peer, Protocol
from tagger.flows import FlowKeys
from tagger.rulebook import Label, Rule, Rulebook
from tagger.run import Journal
from tagger.when import Ports, Prefixes, When
from topologies.document import Source, validate
from topologies.errors import InputError, NotFoundError, Problem
from topologies.faults import fault
from topologies.schema import Model, Name

ONE_OBJECT: Final = 'each line is one object, like {"begin": 1714557600, …}'


def _moment(value: object) -> object:
    """Nanoseconds of real time: of a number of seconds, or of a date with its zone."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(value * 1e9) if isinstance(value, float) else value * 1_000_000_000
    try:
        moment = datetime.fromisoformat(str(value))
        if moment.tzinfo is not None:
            return round(moment.timestamp() * 1e6) * 1_000
    except ValueError:
        pass
    raise fault(
        expected="seconds since 1970, or a date and time with its zone",
        got=f"'{value}'",
        remedy="write for example 1714557600.25 or 2024-05-01T10:00:00.25Z",
    )


Moment = Annotated[int, BeforeValidator(_moment)]


class JournalLine(Model):
    """What somebody did, when, and between which addresses."""

    begin: Moment
    end: Moment
    label: Name | None = Field(None, description="what its flows are called, where no rules say it")
    malicious: bool | None = Field(None, description="needed beside a label")
    kind: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="kind of activity, for rules; the label if left out"
    )
    client: Prefixes = Field(description="addresses or prefixes of who did it")
    server: Prefixes | None = Field(None, description="of whom it was done to; null: anybody")
    port: Ports | None = Field(None, description="on the server's side; null: any")
    protocol: Protocol = "any"
    id: Annotated[str, Field(min_length=1)] | None = None
    variant: str = ""
    success: bool | None = Field(None, description="of an attack: whether it had its effect")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.end < self.begin:
            raise fault(
                expected="an end after the begin",
                got=f"one {(self.begin - self.end) / 1e9:g} s before it",
                remedy="are the two the wrong way round?",
            )
        if self.label is None and self.kind is None:
            raise fault(expected="a label or a kind", got="neither", remedy="add one of them")
        if self.label is not None and self.malicious is None:
            raise fault(
                expected="malicious: true or false, beside a label",
                got="nothing",
                remedy="nothing is taken for benign unasked; add it",
            )
        return self


def read_journal_lines(path: Path) -> tuple[JournalLine, ...]:
    """Read a journal.

    Raises
    ------
    NotFoundError
        There is no such file.
    InputError
        Lines are wrong; all of them are listed.
    """
    lines: list[JournalLine] = []
    problems: list[Problem] = []
    for source in _sources(path, problems):
        try:
            lines.append(validate(source, JournalLine).model)
        except InputError as error:
            problems.extend(error.problems)
    if not problems and not lines:
        remedy = "write one JSON object for each activity"
        problems.append(Problem(str(path), "", "at least one line", "an empty file", remedy))
    if problems:
        raise InputError(sorted(problems, key=lambda problem: problem.line or 0))
    return tuple(lines)


def _sources(path: Path, problems: list[Problem]) -> Iterator[Source]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        remedy = "check the path"
        raise NotFoundError(Problem(str(path), "", "a journal", "no file", remedy)) from error
    except UnicodeDecodeError as error:
        got = f"byte {error.start} is not"
        raise InputError(Problem(str(path), "", "UTF-8 text", got, "save it as UTF-8")) from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            got = f"another text ({error})"
            problems.append(Problem(str(path), "", "a JSON object", got, ONE_OBJECT, number))
            continue
        if not isinstance(values, dict):
            got = f"'{line[:40]}'"
            problems.append(Problem(str(path), "", "a JSON object", got, ONE_OBJECT, number))
            continue
        yield Source(str(path), values, {(): number})


# -- as the rules see it ------------------------------------------------------------------------


def as_journal(lines: Sequence[JournalLine], flows: FlowKeys) -> Journal:
    """The lines as activities; prefixes become those addresses that ``flows`` have."""
    pairs = _Pairs(flows)
    return Journal(
        folder=None,
        activities=tuple(
            activity
            for number, line in enumerate(lines, start=1)
            for activity in _activities(number, line, pairs)
        ),
    )


def _activities(number: int, line: JournalLine, pairs: _Pairs) -> Iterator[ActivityRecord]:
    """One activity for each of the line's clients that is in the flows."""
    kind = line.kind or line.label or ""
    for client, servers in pairs.of(line.client, line.server):
        yield ActivityRecord(
            id=line.id or f"line-{number}",
            name=line.label or kind,
            kind=kind,
            variant=line.variant,
            params={},
            user=client,
            host=client,
            addresses=(client,),
            container="",
            owner=0,
            peers=tuple(
                Peer(
                    service=server,
                    kind="",
                    host=server,
                    address=server,
                    port=port,
                    protocol=line.protocol,
                )
                for server in servers
                for port in line.port or (None,)
            ),
            start_ns=line.begin,
            stop_ns=line.end,
            outcome="ok",
            exit_code=None,
            effect=None if line.success is None else {"success": line.success},
        )


class _Pairs:
    """Which addresses talk to each other, by either's prefix."""

    def __init__(self, flows: FlowKeys) -> None:
        table = pa.table({"a": flows.src_ip, "b": flows.dst_ip})
        rows = table.group_by(["a", "b"]).aggregate([]).to_pylist()
        self._others: dict[str, set[str]] = {}
        for row in rows:
            self._others.setdefault(row["a"], set()).add(row["b"])
            self._others.setdefault(row["b"], set()).add(row["a"])
        self._known: dict[Prefixes, list[str]] = {}

    def of(self, client: Prefixes, server: Prefixes | None) -> Iterator[tuple[str, list[str]]]:
        """Each client with its servers."""
        for one in self._within(client):
            others = self._others[one]
            fitting = others if server is None else others.intersection(self._within(server))
            if fitting:
                yield one, sorted(fitting)

    def _within(self, prefixes: Prefixes) -> list[str]:
        if prefixes not in self._known:
            self._known[prefixes] = [
                text
                for text in sorted(self._others)
                if any(ip_address(text) in prefix for prefix in prefixes)
            ]
        return self._known[prefixes]


def own_rules(lines: Iterable[JournalLine], file: str) -> Rulebook:
    """Rules that give each line's flows its label, or that of its kind in the catalogue.

    Raises
    ------
    InputError
        A line has neither, or one label is malicious and is not.
    """
    labels: dict[str, Label] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        kind = catalogue().get(line.kind or "")
        if line.label is not None:
            name, label = line.label, Label(category=line.label, malicious=bool(line.malicious))
        elif kind is not None:
            name, label = kind.kind, Label(category=kind.category, malicious=kind.malicious)
        else:
            remedy = "add a label, or give rules that speak of this kind: --rules FILE"
            expected = "a label, or a kind of the catalogue"
            problems.append(Problem(file, "kind", expected, f"'{line.kind}'", remedy, number))
            continue
        if labels.setdefault(name, label).malicious != label.malicious:
            got = f"'{name}' both malicious and not"
            remedy = "use two labels"
            problems.append(Problem(file, "malicious", "one meaning a label", got, remedy, number))
    if problems:
        raise InputError(problems)
    rules = tuple(
        Rule(
            id=name, when=When(name=(name,)), label=name, reason=f"{{activity}}, {name} by {{user}}"
        )
        for name in labels
    )
    return Rulebook(name="journal", labels=labels, rules=rules)
