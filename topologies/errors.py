"""The one error tree of the project.

::

    GstaError                    exit 1   anything the project raises on purpose
    ├── InputError(ValueError)   exit 2   the user's input is wrong; carries every Problem
    │   ├── CaptureError                  a capture file cannot be read as one
    │   └── NotFoundError(LookupError)    a name points at nothing
    ├── MachineError(RuntimeError) exit 3 this machine cannot; carries the remedy
    │   └── MissingExtraError(ImportError) an optional library is missing
    ├── LabError(RuntimeError)   exit 1   a lab failed while it ran
    └── GateError                exit 4   done, and a gate (audit, acceptance) said no

Every stage raises from this tree, so the command line needs one handler.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

INTERRUPTED: Final = 130  # exit code of a command that Ctrl-C ended


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the user's input: where it is, what it should be and how to mend it."""

    file: str
    path: str
    expected: str
    got: str
    remedy: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        where = f"{place}: {self.path}" if self.path else place
        return f"{where}: expected {self.expected}, got {self.got}; {self.remedy}"


class GstaError(Exception):
    """Root of everything the project raises on purpose."""

    exit_code = 1


class InputError(GstaError, ValueError):
    """The user's input is wrong; ``problems`` holds every fault found, not only the first."""

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class CaptureError(InputError):
    """A file given as a capture is none, or is broken beyond reading."""


class NotFoundError(InputError, LookupError):
    """A file, model, run or name that the user gave points at nothing."""


class MachineError(GstaError, RuntimeError):
    """This machine cannot do it: a right, a program or an engine is missing."""

    exit_code = 3

    def __init__(self, what: str, *, remedy: str) -> None:
        self.what, self.remedy = what, remedy
        super().__init__(f"{what}; {remedy}")


class MissingExtraError(MachineError, ImportError):
    """An optional library is not installed; the message names the extra that brings it."""

    def __init__(self, library: str, *, extra: str) -> None:
        self.library, self.extra = library, extra
        super().__init__(
            f"this needs {library}, which is not installed",
            remedy=f'install it with: pip install "gsta[{extra}]"',
        )


class LabError(GstaError, RuntimeError):
    """A lab failed while it was built or running; names the host, network or program."""


class GateError(GstaError):
    """The work is done and a gate said no: a blocking audit check or the acceptance."""

    exit_code = 4
