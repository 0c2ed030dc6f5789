"""Configurations that a file begins and options finish."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

Config = TypeVar("Config", bound=BaseModel)


def checked_config(kind: type[Config], path: Path | None, said: Mapping[str, object]) -> Config:
    """The configuration of a YAML file, if there is one, with what options say otherwise.

    Raises
    ------
    InputError
        With every fault; those of options are told as those of a file.
    """
    from topologies.document import parse_yaml, read_source, validate

    begun = kind() if path is None else validate(read_source(path), kind).model
    values = {**begun.model_dump(mode="json"), **said}
    # JSON is YAML.
    return validate(parse_yaml(json.dumps(values), file="gsta train"), kind).model
