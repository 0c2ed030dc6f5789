"""A packaged analyser as the beginning of another training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from builder.config import BuildConfig, FeatureSelection
from builder.preprocess import Preprocessing
from builder.result import Param
from topologies.errors import InputError, Problem

if TYPE_CHECKING:
    from builder.data import Data


@dataclass(frozen=True, slots=True)
class Origin:
    """A trained model: where a training begins.

    ``labels`` are its classes, in the order of its outputs; without them no class is taken over.
    """

    name: str
    family: str
    params: Mapping[str, Param]
    onnx: bytes
    preprocessing: Preprocessing
    features: tuple[str, ...]
    sequences: bool
    labels: tuple[str, ...] = ()

    def config(self, config: BuildConfig) -> BuildConfig:
        """The configuration with the family and the features that it needs."""
        chosen: Literal["flow", "packets", "all"] = "all" if self.sequences else "flow"
        selection = FeatureSelection(set=chosen, include=self.features, leave_out=())
        if not self.features:
            selection = FeatureSelection(set="packets")
        return config.model_copy(update={"families": (self.family,), "features": selection})

    def require(self, data: Data) -> None:
        """Raise InputError unless the data has its features, in its order."""
        found = tuple(field.name for field in data.features)
        if self.features and found != self.features:
            missing = sorted(set(self.features) - set(found))
            raise InputError(
                Problem(
                    data.path,
                    "features",
                    f"those of {self.name}, in its order",
                    f"others; missing are {', '.join(missing) or 'none'}",
                    "meter the runs with the flow meter version of the original",
                )
            )
