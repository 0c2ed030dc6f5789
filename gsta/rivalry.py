"""A registered analyser against one trained again: on the test runs that each was judged on."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import builder
from builder.data import read_dataset
from builder.decision import decide
from builder.metrics import evaluate
from sta_registry import Registry, Sta, load_sta, write_sta
from topologies.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Bout:
    """Macro-F1 of both on the test runs of one dataset."""

    dataset: Path
    champion: float
    challenger: float

    @property
    def won(self) -> bool:
        """Whether the challenger is better; being as good is not."""
        return self.challenger > self.champion

    def __str__(self) -> str:
        sign = ">" if self.won else "≤"
        return (
            f"{self.dataset.name}: macro-F1 {self.challenger:.4f} {sign} {self.champion:.4f} "
            "of the champion"
        )


def challenge(
    result: builder.BuildResult,
    registry: Registry,
    name: str,
    datasets: Sequence[Path],
    *,
    accept_unreleased: bool,
) -> tuple[Bout, ...]:
    """Compare a build with the champion of ``name``; nothing where there is none.

    Raises
    ------
    NotFoundError, GateError, InputError
        A dataset cannot be read as the analysers need it.
    """
    try:
        champion = load_sta(registry.resolve(f"{name}@champion"))
    except NotFoundError:
        return ()
    with tempfile.TemporaryDirectory(prefix="gsta-") as folder:
        challenger = load_sta(write_sta(result, Path(folder) / "sta", name=name))
        return tuple(
            Bout(
                dataset,
                f1_on_test(champion, dataset, accept_unreleased=accept_unreleased),
                f1_on_test(challenger, dataset, accept_unreleased=accept_unreleased),
            )
            for dataset in datasets
        )


def f1_on_test(sta: Sta, dataset: Path, *, accept_unreleased: bool) -> float:
    """Macro-F1 of an analyser on a dataset's test runs; a class that it does not know counts."""
    manifest = sta.manifest
    config = builder.BuildConfig.model_validate(manifest.provenance.config)
    data = read_dataset(dataset, config, accept_unreleased=accept_unreleased)
    inputs = {}
    if manifest.features and data.test.inputs.features is not None:
        inputs["features"] = manifest.preprocessing.apply(data.test.inputs.features)
    if manifest.sequence is not None and data.test.inputs.sequences is not None:
        inputs["sequences"] = data.test.inputs.sequences
    probabilities = manifest.calibration.apply(sta.model.run(inputs))
    names = tuple(sorted({*manifest.classes, *data.labels}))
    ours = np.array([names.index(label) for label in manifest.classes], dtype=np.int64)
    theirs = np.array([names.index(label) for label in data.labels], dtype=np.int64)
    answer = ours[decide(probabilities, manifest.threshold)]
    return evaluate(theirs[data.test.classes], answer, names).f1_macro
