"""YAML documents that know their lines: read, validate, and report every fault at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from topologies.errors import InputError, NotFoundError, Problem
from topologies.faults import FAULT_TYPE
from topologies.keys import known_keys
from topologies.wording import shown, words

ModelT = TypeVar("ModelT", bound=BaseModel)
Location = tuple[str | int, ...]

MAX_DOCUMENT_BYTES: Final = 4 << 20
MAX_VALUES: Final = 200_000  # stops aliases of aliases that unfold without end


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed document: its plain values and the line on which each of them stands."""

    file: str
    values: object
    lines: Mapping[Location, int]

    def problem(
        self, location: Sequence[str | int], *, expected: str, got: str, remedy: str
    ) -> Problem:
        """A `Problem` at ``location``; the line is that of the nearest key that exists."""
        place = tuple(location)
        while place and place not in self.lines:
            place = place[:-1]
        return Problem(
            file=self.file,
            line=self.lines.get(place),
            path=dotted(location),
            expected=expected,
            got=got,
            remedy=remedy,
        )


@dataclass(frozen=True, slots=True)
class Document(Generic[ModelT]):
    """A validated model with the source it came from."""

    model: ModelT
    source: Source

    @property
    def folder(self) -> Path:
        """Folder that relative paths in the document start from."""
        return Path(self.source.file).parent


def dotted(location: Iterable[str | int]) -> str:
    """``("phases", 0, "name")`` as ``phases[0].name``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parse_yaml(text: str, *, file: str) -> Source:
    """Parse one YAML document.

    Raises
    ------
    InputError
        The text is no YAML, has a key twice, or holds anything but plain values.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(_syntax_problem(error, file)) from error
    if root is None:
        raise InputError(
            Problem(file, "", "a YAML mapping", "an empty document", "write the keys it needs")
        )
    reader = _Reader(file)
    values = reader.read(root, ())
    if reader.problems:
        raise InputError(reader.problems)
    return Source(file, values, reader.lines)


def read_source(path: Path) -> Source:
    """Read and parse a YAML file; raises `NotFoundError` or `InputError`."""
    try:
        data = path.read_bytes()
        if len(data) > MAX_DOCUMENT_BYTES:
            raise InputError(
                Problem(
                    str(path),
                    "",
                    f"at most {MAX_DOCUMENT_BYTES} bytes",
                    f"{len(data)} bytes",
                    "is this the right file?",
                )
            )
        return parse_yaml(data.decode("utf-8"), file=str(path))
    except OSError as error:
        raise NotFoundError(
            Problem(str(path), "", "a readable file", error.strerror or "none", "check the path")
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            Problem(str(path), "", "UTF-8 text", f"byte {error.start} is not", "save it as UTF-8")
        ) from error


def validate(source: Source, model: type[ModelT]) -> Document[ModelT]:
    """Validate a document against a model; raises `InputError` with every fault."""
    try:
        return Document(model.model_validate(source.values), source)
    except ValidationError as error:
        raise InputError(_problems(source, model, (), error)) from error


def validate_part(
    source: Source, location: Location, model: type[ModelT], values: object
) -> ModelT | tuple[Problem, ...]:
    """Validate what stands at ``location`` against a model that only a later stage knows.

    Its validators find the document's folder in their context, as ``folder``.
    """
    try:
        return model.model_validate(values, context={"folder": Path(source.file).parent})
    except ValidationError as error:
        return _problems(source, model, location, error)


class _Reader:
    """Turns YAML nodes into plain values, noting lines and duplicate keys."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []
        self._loader = yaml.SafeLoader("")
        self._open: list[yaml.Node] = []

    def read(self, node: yaml.Node, location: Location) -> object:
        self.lines.setdefault(location, node.start_mark.line + 1)
        if len(self.lines) > MAX_VALUES:
            raise InputError(
                Problem(
                    self.file,
                    dotted(location),
                    f"at most {MAX_VALUES} values",
                    "more, once the aliases are unfolded",
                    "write fewer aliases",
                )
            )
        if node in self._open:
            self._fault(node, location, "a finite document", "an alias of itself", "write it out")
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, location)
            if isinstance(node, yaml.SequenceNode):
                return [self.read(item, (*location, i)) for i, item in enumerate(node.value)]
            return self._scalar(node, location)
        finally:
            self._open.pop()

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node, location)
            if not isinstance(key, str):
                self._fault(key_node, location, "a text key", repr(key), "put the key in quotes")
                continue
            place = (*location, key)
            if key in values:
                self._fault(key_node, place, "each key once", "it again", "remove one of the two")
            self.lines[place] = key_node.start_mark.line + 1
            values[key] = self.read(value_node, place)
        return values

    def _scalar(self, node: yaml.Node, location: Location) -> object:
        if isinstance(node, yaml.ScalarNode):
            try:
                return self._loader.construct_object(node)
            except (yaml.YAMLError, ValueError):
                pass
        self._fault(node, location, "a plain value", node.tag, "use text, numbers, lists or maps")
        return None

    def _fault(
        self, node: yaml.Node, location: Location, expected: str, got: str, remedy: str
    ) -> None:
        line = node.start_mark.line + 1
        self.problems.append(Problem(self.file, dotted(location), expected, got, remedy, line))


def _syntax_problem(error: Exception, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    return Problem(
        file,
        "",
        "valid YAML",
        what,
        "check the indentation, colons and quotes around this line",
        None if mark is None else mark.line + 1,
    )


def _problems(
    source: Source, model: type[BaseModel], prefix: Location, error: ValidationError
) -> tuple[Problem, ...]:
    faults = error.errors()
    # A list with a wrong item is also called too short; that says nothing more.
    deeper = {details["loc"][:i] for details in faults for i in range(len(details["loc"]))}
    found = (
        _problem(source, model, prefix, details)
        for details in faults
        if details["type"] != "too_short" or details["loc"] not in deeper
    )
    return tuple(sorted(found, key=lambda problem: (problem.line or 0, problem.path)))


def _problem(
    source: Source, model: type[BaseModel], prefix: Location, details: ErrorDetails
) -> Problem:
    place = _real_location(_at(source.values, prefix), details["loc"], details["type"])
    location = (*prefix, *place)
    context: Mapping[str, Any] = details.get("ctx") or {}
    if details["type"] == FAULT_TYPE:
        return source.problem(
            location, expected=context["expected"], got=context["got"], remedy=context["remedy"]
        )
    if details["type"] == "missing":
        return source.problem(
            location, expected="a value", got="nothing", remedy=f"add the key '{location[-1]}'"
        )
    if details["type"] == "extra_forbidden":
        return _unknown_key(source, sorted(known_keys(model, place[:-1])), location)
    said = words(details)
    if details["type"] == "union_tag_invalid":
        location = (*location, context["discriminator"].strip("'"))
        return source.problem(
            location, expected=said.expected, got=f"'{context['tag']}'", remedy=said.remedy
        )
    return source.problem(
        location, expected=said.expected, got=shown(details["input"]), remedy=said.remedy
    )


def _unknown_key(source: Source, known: Sequence[str], location: Location) -> Problem:
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    remedy = f"did you mean '{close[0]}'?" if close else "remove it"
    expected = f"one of {', '.join(known)}" if known else "no keys here"
    return source.problem(location, expected=expected, got=f"'{location[-1]}'", remedy=remedy)


def _at(values: object, location: Location) -> object:
    for part in location:
        values = _child(values, part)
    return values


def _real_location(values: object, loc: Sequence[str | int], kind: str) -> Location:
    """Drop what pydantic adds to a location: union tags and the marker of a wrong key."""
    place: list[str | int] = []
    here = values
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        child = _child(here, part)
        if child is not _ABSENT:
            here = child
        elif not (last and kind in {"missing", "union_tag_not_found"}):
            continue
        place.append(part)
    return tuple(place)


_ABSENT: Final = object()


def _child(values: object, part: str | int) -> object:
    if isinstance(values, dict):
        return values.get(part, _ABSENT)
    if isinstance(values, list) and isinstance(part, int) and part < len(values):
        return values[part]
    return _ABSENT
