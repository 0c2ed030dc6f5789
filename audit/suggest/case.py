"""What a proposal is made from: a failed check, the dataset, and the topology that was played."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from audit.changes import Change, changed, found
from audit.data import AuditData, Bools, Objects
from audit.origins import session_key, topologies
from audit.result import CheckResult
from tagger.activities import read_activities
from topologies import Topology
from topologies.document import Source
from topologies.errors import InputError
from topologies.loader import topology_of

MINOR: Final = 0.05  # share of a class, below which an activity has little to do with it


@dataclass(frozen=True)
class Scene:
    """One topology of a dataset and the sessions that were played in it."""

    data: AuditData
    folder: Path
    topology: Topology
    runs: frozenset[str]

    @cached_property
    def values(self) -> dict[str, Any]:
        """The topology as plain values, with every default written out."""
        return self.topology.model_dump(mode="json")

    @cached_property
    def rows(self) -> Bools:
        """Which flows are of runs of this topology."""
        codes, names = self.data.codes("run")
        known = [number for number, name in enumerate(names) if name in self.runs]
        return np.isin(codes, known)

    @cached_property
    def sessions(self) -> tuple[Mapping[str, Any], ...]:
        """The activities of the runs' journals."""
        rows = read_activities(self.folder).to_pylist()
        return tuple(row for row in rows if row["run_id"] in self.runs)

    @cached_property
    def names(self) -> Objects:
        """Of each flow the activity that made it, as the topology calls it; empty: unknown."""
        name = {
            session_key(one["run_id"], one["activity_id"]): one["name"] for one in self.sessions
        }
        if "activity" not in self.data.context:
            return np.full(len(self.data.label), "", dtype=object)
        codes, keys = self.data.codes("activity")
        known = np.array([name.get(key, "") for key in keys] + [""], dtype=object)
        return np.where(self.rows, known[codes], "")

    def flows(self, activity: str) -> int:
        """How many labelled flows an activity made."""
        return int(((self.names == activity) & self.data.labelled).sum())

    def of_class(self, label: str) -> tuple[str, ...]:
        """The activities that make up a class, the largest first."""
        counts = Counter(self.names[(self.data.label == label) & self.rows].tolist())
        counts.pop("", None)
        return tuple(
            name
            for name, count in counts.most_common()
            if name in self.topology.activities and count >= MINOR * counts.total()
        )

    @cached_property
    def clients(self) -> dict[str, tuple[str, ...]]:
        """Hosts that do something, each with its activities."""
        found = defaultdict(list)
        for name, activity in self.topology.activities.items():
            for host in activity.hosts:
                found[host].append(name)
        return {host: tuple(names) for host, names in found.items()}

    def sound(self, change: Change) -> bool:
        """Whether the topology stands with this change in it."""
        try:
            topology_of(Source("", changed(self.values, [change]), {}))
        except InputError:
            return False
        return True


@dataclass(frozen=True)
class Case:
    """A failed check on a dataset, in one of its topologies."""

    result: CheckResult
    scene: Scene
    spec: str

    @property
    def data(self) -> AuditData:
        """The dataset."""
        return self.scene.data

    @property
    def topology(self) -> Topology:
        """As it was played, with the defaults."""
        return self.scene.topology

    def change(self, at: str, new: object, because: str) -> Iterator[Change]:
        """Replace a value of the topology, if it is another and the topology stands with it."""
        made = self._made(at, new, because)
        if made.new != made.old and self.scene.sound(made):
            yield made

    def choice(self, at: str, new: object, because: str, *, old: object = None) -> Iterator[Change]:
        """Leave it to people to set a value of the spec, which is ``old`` by default."""
        yield Change(
            document="spec",
            name=self.spec,
            at=at,
            old=old,
            new=new,
            check=self.result.id,
            because=because,
            decide=True,
        )

    def extend(self, at: str, more: list[str], because: str) -> Iterator[Change]:
        """Make a list of the topology longer, by those that the topology stands with."""
        here = self._made(at, None, because)
        stands = [
            one
            for one in more
            if one not in here.old
            and self.scene.sound(here.model_copy(update={"new": [*here.old, one]}))
        ]
        if stands:
            yield from self.change(at, [*here.old, *stands], because)

    def _made(self, at: str, new: object, because: str) -> Change:
        made = Change(
            document="topology",
            name=self.topology.name,
            at=at,
            old=None,
            new=new,
            check=self.result.id,
            because=because,
        )
        return made.model_copy(update={"old": found(self.scene.values, made.place)})


Advice = Callable[[Case], Iterator[Change]]


def scenes(data: AuditData) -> tuple[Scene, ...]:
    """The topologies of a dataset; none where it was made elsewhere."""
    if data.folder is None or data.lineage is None:
        return ()
    by_name: dict[str, tuple[Topology, set[str]]] = {}
    for run_id, topology in topologies(data.folder, data.lineage).items():
        by_name.setdefault(topology.name, (topology, set()))[1].add(run_id)
    return tuple(
        Scene(data, data.folder, topology, frozenset(runs)) for topology, runs in by_name.values()
    )
