"""What each stage of a build is made from, as a digest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gsta.experiments import Experiment
from gsta.order import Order
from gsta.stages import digest
from launcher.injection.profile import beside
from launcher.rundir import MANIFEST
from topologies.files import sha256_file

if TYPE_CHECKING:
    from gsta.generate import Labs


def lab_key(one: Experiment, labs: Labs) -> str:
    """Of the topology with the files that it names, the seed, and how it is run."""
    topology = one.topology.model.model_dump(mode="json")
    files = sorted(
        sha256_file(path)
        for text in _texts(topology)
        if (path := beside(text, one.topology.folder)).is_file()
    )
    options = [repr(labs.options.capture), labs.options.time_scale]
    how = [labs.backend, labs.keep_packets, *options]
    code = ("topologies", "launcher", *(() if labs.keep_packets else ("flowmeter",)))
    return digest("lab", topology, files, one.seed, how, code=code)


def meter_key(one: Experiment) -> str:
    """Of the run, by its manifest, which has the digests of its files."""
    return digest("meter", sha256_file(one.run_dir / MANIFEST), code=("flowmeter",))


def tag_key(order: Order, experiments: tuple[Experiment, ...]) -> str:
    """Of the runs, their flows and the rules."""
    runs = [
        [one.split, sha256_file(one.run_dir / MANIFEST), sha256_file(one.flows)]
        for one in experiments
    ]
    rules = sha256_file(Path(order.rules.source.file))
    return digest("tag", order.spec.model.name, runs, rules, code=("tagger",))


def audit_key(order: Order, dataset: Path) -> str:
    """Of the dataset and the checks that may fail."""
    may = [order.spec.model.accept_checks, order.spec.model.allow]
    return digest("audit", sha256_file(dataset / "dataset.json"), may, code=("audit",))


def _texts(value: object) -> Iterator[str]:
    """Every text in a value that JSON can hold; some name files."""
    if isinstance(value, str):
        if 0 < len(value) < 256 and "\0" not in value:
            yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
