"""The project's errors, for those who use it as a library. The tree is in `topologies.errors`."""

from topologies.errors import (
    CaptureError,
    GateError,
    GstaError,
    InputError,
    LabError,
    MachineError,
    MissingExtraError,
    NotFoundError,
    Problem,
)

__all__ = [
    "CaptureError",
    "GateError",
    "GstaError",
    "InputError",
    "LabError",
    "MachineError",
    "MissingExtraError",
    "NotFoundError",
    "Problem",
]
