"""Mapping files: what the columns of a table made elsewhere are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from topologies.document import Document, parse_yaml, read_source, validate
from topologies.errors import InputError, NotFoundError, Problem
from topologies.schema import Model

MAPPINGS: Final = Path(__file__).parent / "mappings"

Role = Literal[
    "feature", "identity", "key", "time", "label", "split", "ignore",
    "run", "host", "topology", "tool", "command", "impairment",
]  # fmt: skip

GUESSES: Final = (
    ("ports", r"(^|_)(sport|dport|dsport|ports?|pt)(_|$)"),
    ("stack", r"ttl|(^|_)win|mss|window|tos(_|$)"),
    ("rates", r"_s$|rate|ratio|(^|_)[sd]load"),
    ("timing", r"iat|dur|time|idle|active|jit|intpkt|rtt|synack|ackdat"),
    ("flags", r"flag|(^|_)(syn|fin|rst|psh|ack|urg|ece|cwr|cwe)(_|$)|state"),
    ("sizes", r"byte|size|len|bulk|sz$"),
    ("counts", r"packets?|pkts?|count|^ct_|^num_"),
)
"""Groups by what is in a column's name, for columns whose mapping names none."""


class Column(Model):
    """What a column is."""

    role: Role = "feature"
    group: str = Field("", description="group of features, for example sizes; guessed if empty")
    means: str = Field("", description="our name for it, such as c2s_packets, src_ip, dst_port")


class Mapping(Model):
    """A mapping file."""

    name: str
    about: str = Field("", description="which files of which dataset it is for")
    source: str = Field("", description="where they are published")
    header: tuple[str, ...] = Field(
        (), description="names of the columns, for files whose first line is none"
    )
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: str = "utf-8"
    missing: tuple[str, ...] = Field(
        (), description="texts that stand for an unknown value, besides an empty one"
    )
    suffixes: dict[str, float] = Field(
        default_factory=dict, description="what a letter after a number multiplies it by: M: 1e6"
    )
    columns: dict[str, Column] = Field(
        default_factory=dict,
        description="by name or pattern (`*IAT*`), without blanks around; the first that fits",
    )
    others: Literal["feature", "ignore"] = Field(
        "feature", description="role of columns that no entry fits"
    )
    every: bool = Field(True, description="each column that is named has to be in the table")
    benign: tuple[str, ...] = Field((), description="labels that are not malicious")
    label_if_empty: str = Field("", description="what an empty label stands for; counted as well")
    unlabelled: tuple[str, ...] = Field((), description="labels that say that there is none")
    vocabulary: tuple[str, ...] = Field((), description="the closed set of labels, if there is one")
    rename_labels: dict[str, str] = Field(
        default_factory=dict, description="labels to change; each change is counted and reported"
    )

    def column(self, name: str) -> Column:
        """What the column ``name`` is."""
        for pattern, column in self.columns.items():
            if name == pattern or fnmatchcase(name, pattern):
                return column
        return Column(role=self.others)

    @property
    def label(self) -> str | None:
        """The column with the labels."""
        return next((name for name, one in self.columns.items() if one.role == "label"), None)


def guessed_group(name: str) -> str:
    """The group of features that a column's name speaks of."""
    plain = re.sub(r"[\W_]+", "_", name.casefold()).strip("_")
    return next((group for group, words in GUESSES if re.search(words, plain)), "others")


def shipped() -> list[str]:
    """Names of the mappings that come with the project."""
    return sorted(path.stem for path in MAPPINGS.glob("*.yaml"))


def load_mapping(name: str | Path | None) -> Document[Mapping]:
    """Read a mapping by path, or by the name of one that ships; None: every column is a feature.

    Raises
    ------
    NotFoundError
        There is no such file or name.
    InputError
        With every fault of the file.
    """
    if name is None:
        return validate(parse_yaml("name: none", file="no mapping"), Mapping)
    path = Path(name)
    known = MAPPINGS / f"{name}.yaml"
    if not path.exists() and known.is_file():
        path = known
    elif not path.exists():
        raise NotFoundError(
            Problem(
                str(name),
                "",
                f"a mapping file, or one of {', '.join(shipped())}",
                "neither",
                "correct the name",
            )
        )
    return validate(read_source(path), Mapping)


def check_columns(document: Document[Mapping], names: Sequence[str], table: str) -> None:
    """Raise `InputError` for every column that the mapping names and the table has not."""
    mapping = document.model
    if not mapping.every:
        return
    problems = []
    for pattern in mapping.columns:
        if not any(name == pattern or fnmatchcase(name, pattern) for name in names):
            close = difflib.get_close_matches(pattern, names, n=1)
            problems.append(
                document.source.problem(
                    ("columns", pattern),
                    expected=f"a column of {table}",
                    got=f"'{pattern}'",
                    remedy=f"did you mean '{close[0]}'?" if close else "remove it, or every: false",
                )
            )
    if problems:
        raise InputError(problems)
