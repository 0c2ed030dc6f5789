"""How people name a registered STA: ``NAME``, ``NAME@ALIAS`` or ``NAME/VERSION``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from topologies.errors import InputError, Problem

CHAMPION: Final = "champion"
PREVIOUS: Final = "previous"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_REFERENCE: Final = re.compile(
    rf"(?P<name>{_NAME})(?:@(?P<alias>{_NAME})|/(?P<version>[1-9][0-9]{{0,8}}))?"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed name; neither alias nor version means the champion."""

    name: str
    alias: str | None = None
    version: int | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name}/{self.version}"
        return f"{self.name}@{self.alias or CHAMPION}"


def parse_reference(text: str) -> Reference:
    """Parse a reference.

    Raises
    ------
    InputError
        The text has another form.

    Examples
    --------
    >>> parse_reference("web-or-mining/3")
    Reference(name='web-or-mining', alias=None, version=3)
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise InputError(
            Problem(
                text or "model",
                "",
                "NAME, NAME@ALIAS, NAME/VERSION or the folder of an STA",
                f"'{text}'",
                "names are letters, digits, '.', '_' and '-'; a folder must hold sta.json",
            )
        )
    version = match["version"]
    return Reference(match["name"], match["alias"], int(version) if version else None)


def check_name(text: str) -> str:
    """``text`` if it may name an STA; raises `InputError`."""
    if re.fullmatch(_NAME, text) is None:
        raise InputError(
            Problem(
                "registration",
                "name",
                "1 to 100 letters, digits, '.', '_' or '-', beginning with a letter or digit",
                f"'{text}'",
                "choose another name",
            )
        )
    return text
