"""What every model of a document shares."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$", description="lower-case letters, digits, hyphens")
]


class Model(BaseModel):
    """Base of everything a user writes: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
