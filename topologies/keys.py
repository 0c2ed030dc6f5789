"""Which keys a model allows at a place of a document, from its JSON schema."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel


def known_keys(model: type[BaseModel], location: Sequence[str | int]) -> set[str]:
    """Keys that the JSON schema allows at ``location``."""
    schema = _json_schema(model)
    definitions = schema.get("$defs", {})
    nodes: list[dict[str, Any]] = [schema]
    for part in (*location, None):
        nodes = [leaf for node in nodes for leaf in _leaves(node, definitions)]
        if part is None:
            break
        nodes = [child for node in nodes for child in _children(node, part)]
    return {key for node in nodes for key in node.get("properties", {})}


@cache
def _json_schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _leaves(node: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in node:
        return _leaves(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    options = node.get("anyOf") or node.get("oneOf")
    if options:
        return [leaf for option in options for leaf in _leaves(option, definitions)]
    return [node]


def _children(node: dict[str, Any], part: str | int) -> list[dict[str, Any]]:
    if isinstance(part, int):
        found = node.get("items")
    else:
        found = node.get("properties", {}).get(part) or node.get("additionalProperties")
        for pattern_schema in node.get("patternProperties", {}).values():
            found = found or pattern_schema
    return [found] if isinstance(found, dict) else []
