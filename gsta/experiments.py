"""The labs that a spec asks for: of each topology one run to train on and one to judge by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gsta.labs import shortened
from gsta.order import Order
from gsta.spec import Experiment as Asked
from tagger import TaggedRun
from tagger.summary import Split
from topologies import Topology
from topologies.document import Document


@dataclass(frozen=True, slots=True)
class Experiment:
    """One lab to run, and where its files go."""

    title: str
    topology: Document[Topology]
    split: Split
    seed: int
    run_dir: Path
    flows: Path

    @property
    def tagged(self) -> TaggedRun:
        """The run for the tagger, once it has been run and metered."""
        return TaggedRun(self.run_dir, self.flows, self.split)


def plan_experiments(
    order: Order, folder: Path, *, name: str | None = None
) -> tuple[Experiment, ...]:
    """The labs of an order, in the order in which they are run; their files go below ``folder``.

    The names of runs begin with ``name``; None is the folder's.
    """
    return tuple(_experiments(order, folder, name or folder.name))


def _experiments(order: Order, folder: Path, build: str) -> Iterator[Experiment]:
    asked = order.spec.model.experiments
    several = len(order.topologies) + len(order.unseen) > 1
    rounds: tuple[tuple[Split, Asked, tuple[Document[Topology], ...]], ...] = (
        ("train", asked.train, order.topologies),
        ("test", asked.test, order.topologies),
        ("unseen", asked.test, order.unseen),
    )
    for split, one, topologies in rounds:
        seconds = one.seconds or asked.seconds
        for topology in topologies:
            name = f"{topology.model.name} {split}" if several else split
            run = f"{build}-{name.replace(' ', '-')}"
            yield Experiment(
                title=name,
                topology=shortened(topology, seconds) if seconds else topology,
                split=split,
                seed=one.seed,
                run_dir=folder / "runs" / run,
                flows=folder / "flows" / f"{run}.parquet",
            )
