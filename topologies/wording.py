"""Pydantic's errors in the words of the project: what was expected, and how to mend it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydantic_core import ErrorDetails


class Words(NamedTuple):
    """What a fault is called."""

    expected: str
    remedy: str


# By pydantic's error type; {braces} are filled from the error's context.
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "string_pattern_mismatch": (
        "lower-case letters, digits and hyphens, a letter first, 31 at most",
        "rename it",
    ),
    "string_type": ("text", "write text; put a number in quotes"),
    "string_too_short": ("at least {min_length} characters", "write a longer text"),
    "int_type": ("a whole number", "write a whole number"),
    "int_parsing": ("a whole number", "write digits only"),
    "int_from_float": ("a whole number", "remove the decimals"),
    "float_type": ("a number", "write a number"),
    "float_parsing": ("a number", "write digits only; the unit is in the key's name"),
    "finite_number": ("a finite number", "write a finite number"),
    "bool_type": ("true or false", "write true or false"),
    "bool_parsing": ("true or false", "write true or false"),
    "tuple_type": ("a list", "write it as [first, second]"),
    "list_type": ("a list", "write it as [first, second]"),
    "dict_type": ("a mapping", "write it as {key: value}"),
    "model_type": ("a mapping", "write it as {key: value}"),
    "model_attributes_type": ("a mapping", "write it as {key: value}"),
    "too_short": ("at least {min_length} of them", "add to it"),
    "greater_than": ("a number above {gt:g}", "choose a larger one"),
    "greater_than_equal": ("a number of at least {ge:g}", "choose a larger one"),
    "less_than": ("a number below {lt:g}", "choose a smaller one"),
    "less_than_equal": ("a number of at most {le:g}", "choose a smaller one"),
    "literal_error": ("{expected}", "choose one of them"),
    "union_tag_not_found": ("a key {discriminator}", "add it"),
    "union_tag_invalid": ("one of {expected_tags}", "choose one of them"),
    "ip_v4_network": ("an IPv4 network", "write it like 198.18.1.0/24, host bits zero"),
    "ip_v6_network": ("an IPv6 network", "write it like 2001:2:0:1::/64, host bits zero"),
}


def words(details: ErrorDetails) -> Words:
    """Say what one of pydantic's errors expected and what to do about it."""
    context: Mapping[str, Any] = details.get("ctx") or {}
    known = _WORDS.get(details["type"])
    if known is None:
        message = details["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        return Words(message[:1].lower() + message[1:], "correct the value")
    expected, remedy = known
    return Words(expected.format_map(context), remedy)


def shown(value: object) -> str:
    """A user's value in an error message, cut to a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
