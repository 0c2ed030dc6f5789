from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from topologies.document import parse_yaml, validate
from topologies.errors import InputError, Problem
from topologies.schema import Topology

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    parts: dict[str, Part]


def problems_of(text: str, model: type[BaseModel] = Whole) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as caught:
        validate(parse_yaml(text, file="f.yaml"), model)
    return caught.value.problems


def test_every_fault_is_reported_with_its_line() -> None:
    found = problems_of("name: 3\nparts:\n  a: {size: x}\n  b: {}\n  c: {size: 1, sise: 2}\n")
    assert [(p.line, p.path) for p in found] == [
        (1, "name"),
        (3, "parts.a.size"),
        (4, "parts.b.size"),
        (5, "parts.c.sise"),
    ]
    assert found[3].remedy == "did you mean 'size'?"


def test_a_key_given_twice_is_an_error() -> None:
    (problem,) = problems_of("name: a\nname: b\nparts: {}\n")
    assert (problem.line, problem.path) == (2, "name")


def test_an_alias_of_itself_is_an_error_and_ends() -> None:
    assert "alias" in problems_of("&a [*a]\n")[0].got


def test_aliases_that_unfold_without_end_are_stopped() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "aliases" in problems_of("\n".join(lines))[0].remedy


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        assert parse_yaml(text, file="f.yaml").lines


@settings(deadline=None)  # the first call makes the schema
@given(PLAIN)
@example({"[key]": False})  # what pydantic calls a wrong key, as a key
def test_what_is_no_topology_has_problems_with_remedies(values: object) -> None:
    with pytest.raises(InputError) as caught:
        validate(parse_yaml(yaml.safe_dump(values), file="f.yaml"), Topology)
    assert all(problem.remedy for problem in caught.value.problems)
