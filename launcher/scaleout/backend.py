"""A lab over several machines: each makes its part, and long cables join the parts."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from launcher.backend import Capture, Command, FlowEvent, Process, Watch
from launcher.capture import CaptureOptions
from launcher.impair import Links
from launcher.labs import Lab
from launcher.plan import LabPlan, Link
from launcher.records import ClockRecord, EngineRecord, VerifiedLink
from launcher.scaleout import afar, clocks
from launcher.scaleout.division import IDENTIFIERS, Part, divide, network_of
from launcher.scaleout.duties import COMMAND, ENDS, OPTIONS, PLAN
from launcher.scaleout.engines import Engines
from launcher.scaleout.handles import RemoteCapture, RemoteLinks, RemoteProcess, RemoteWatch, Told
from launcher.scaleout.placement import Placement, TornError, place
from launcher.scaleout.remote import BUILD_S, Files, RemoteEngine
from topologies.document import Document
from topologies.errors import GstaError, InputError, LabError, MachineError

log = logging.getLogger(__name__)

AGENT: Final = ("--quiet", "lab", "node")


@dataclass(slots=True)
class _Member:
    """A machine of the lab, and what is known of it."""

    engine: RemoteEngine
    part: Part
    told: Told
    facts: Mapping[str, Any] = field(default_factory=dict)  # as it opened
    clock: tuple[ClockRecord, ...] = ()


class ScaleOutBackend:
    """A lab over several machines; a `launcher.backend.Backend`.

    ``kind`` is the back end there, docker or netns; both wire, so they need root there.
    """

    wires = True

    def __init__(self, lab: Lab, engines: Document[Engines], *, kind: str) -> None:
        self.name = kind
        self.images: Mapping[str, str] = MappingProxyType({})
        self.links = Links()
        self._lab, self._document = lab, engines
        self._notes: list[str] = []
        self._warned: list[str] = []
        self._over = False
        self._run_dir = lab.run_dir
        self._placement = Placement({}, {})
        self._members: dict[str, _Member] = {}
        self._watch: RemoteWatch | None = None

    @property
    def notes(self) -> Sequence[str]:
        """What the machines could not do, and what their clocks make of it."""
        return (*self._notes, *clocks.warnings(self.engines))

    @property
    def engines(self) -> Sequence[EngineRecord]:
        """The machines that the lab is on."""
        return tuple(self._record(name) for name in self._members)

    def up(self, plan: LabPlan, run_dir: Path) -> Mapping[str, str]:
        """Create every network and host; the container id or namespace name of each host."""
        self._run_dir = run_dir
        self._placement = placed(plan, self._document)
        self._connect(plan)
        for member in self._members.values():
            member.clock = (clocks.measure(member.engine.clock_ns),)
        self._warn()
        made = self._ask_all("up", lambda m: {"plan": PLAN.dump_python(m.part.plan, mode="json")})
        joined = self._ask_all(
            "join",
            lambda m: {
                "ends": ENDS.dump_python(m.part.ends, mode="json"),
                "underlay": self._underlay(m.engine.name),
            },
        )
        self._prove_cables(plan)
        said = {name: [*made[name]["notes"], *joined[name]] for name in made}
        self._notes = [f"engine {name}: {note}" for name, notes in said.items() for note in notes]
        self._take_in(plan, made)
        return {host: name for found in made.values() for host, name in found["containers"].items()}

    def spawn(self, host: str, command: Command) -> Process:
        """Start a program in a host, its output appended to its log file."""
        member = self._member_of(host)
        number = member.engine.ask(
            "spawn", host=host, command=COMMAND.dump_python(command, mode="json")
        )
        return RemoteProcess(member.engine, member.told, int(number))

    def capture(self, point: str, file: Path, options: CaptureOptions | None = None) -> Capture:
        """Start capturing a network where its bridge is, or an end of a host's cable.

        The packets are kept on that machine until the capture is stopped.
        """
        node, _, interface = point.partition(":")
        member = (
            self._member_of(node) if interface else self._members[self._placement.networks[point]]
        )
        plain = OPTIONS.dump_python(options or CaptureOptions(), mode="json")
        number = member.engine.ask("capture", point=point, file=file.name, options=plain)
        return RemoteCapture(member.engine, member.told, int(number), point)

    def watch(self, on_event: Callable[[FlowEvent], None]) -> Watch:
        """Report each flow that a lab process opens or accepts, on any machine."""
        self._watch = RemoteWatch(on_event)
        self._watch.start([member.engine for member in self._members.values()])
        return self._watch

    def down(self) -> None:
        """Remove everything this lab made.

        Raises
        ------
        LabError
            A machine has gone, or could not remove its part; a wipe tries it again.
        """
        if self._over:
            return
        self._over = True
        lost: list[str] = []
        begun = []
        for member in self._members.values():
            if not member.facts:
                continue  # it has made nothing
            with suppress(GstaError):  # it has gone, which is told below
                member.clock += (clocks.measure(member.engine.clock_ns),)
            begun.append((member.engine, member.engine.begin("down")))
        self._warn()
        for engine, asked in begun:
            try:
                engine.result(asked)
            except GstaError as error:
                lost.append(str(error))
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda member: member.engine.close(), self._members.values()))
        if lost:
            self._lab.abandon()
            raise LabError("; ".join(lost) + "; remove what is left with: gsta lab wipe")
        self._lab.close()

    def _warn(self) -> None:
        """Say what the clocks make of the run's times, once."""
        for warning in clocks.warnings(self.engines):
            if warning not in self._warned:
                self._warned.append(warning)
                log.warning("%s", warning)

    def _connect(self, plan: LabPlan) -> None:
        engines = self._document.model.engines
        underlays = {name: str(engine.underlay) for name, engine in engines.items()}
        parts = divide(
            plan, self._placement, underlays, first_identifier=secrets.randbelow(IDENTIFIERS)
        )
        files = Files(self._run_dir)
        for name, part in parts.items():
            errors = self._lab.folder / f"{name}.stderr"
            engine = RemoteEngine(name, engines[name].command(*AGENT), errors=errors)
            member = _Member(engine, part, Told())
            engine.hear(
                {
                    "file": files.append,
                    "flow": self._take_flow,
                    "ended": member.told.ended,
                    "capture-failed": member.told.capture_failed,
                    "links-failed": member.told.links_failed,
                }
            )
            self._members[name] = member
        for name, facts in self._ask_all("open", lambda _: {"backend": self.name}).items():
            self._members[name].facts = facts
        afar.note(self._lab.folder, self._shares())
        _require_one_version({m.engine.name: m.facts["versions"] for m in self._members.values()})

    def _shares(self) -> Iterator[afar.Share]:
        for name, member in self._members.items():
            lab = str(member.facts["lab"])
            words = self._document.model.engines[name].command(
                "lab", "wipe", "--force", "--lab", lab
            )
            yield afar.Share(name, lab, tuple(words))

    def _take_flow(self, message: Mapping[str, Any], data: bytes) -> None:
        if self._watch is not None:
            self._watch.take(message, data)

    def _ask_all(
        self, do: str, particulars: Callable[[_Member], Mapping[str, object]]
    ) -> dict[str, Any]:
        """Ask every machine at the same time; what each gives."""
        begun = [(m, m.engine.begin(do, **particulars(m))) for m in self._members.values()]
        return {m.engine.name: m.engine.result(asked, BUILD_S) for m, asked in begun}

    def _prove_cables(self, plan: LabPlan) -> None:
        for network, name in self._placement.long_cables(plan):
            node = plan.node(name)
            link = next(link for link in node.links if link.network == network)
            target = _somebody_else(plan, network, name)
            segment = next(s for s in plan.segments if s.name == network)
            if target is not None and not self._member_of(name).engine.ask(
                "carries",
                node=name,
                source=str(link.address),
                target=str(target.address),
                mtu=segment.mtu,
            ):
                here, there = self._placement.nodes[name], self._placement.networks[network]
                raise MachineError(
                    f"the cable of '{name}' to network '{network}', from engine '{here}' "
                    f"({self._underlay(here)}) to '{there}' ({self._underlay(there)}), carries "
                    "nothing",
                    remedy="let UDP port 4789 pass between these addresses, with packets as large "
                    "as the interfaces say",
                )

    def _take_in(self, plan: LabPlan, made: Mapping[str, Mapping[str, Any]]) -> None:
        self.images = MappingProxyType(
            {f"{e}/{role}": image for e, m in made.items() for role, image in m["images"].items()}
        )
        found = [VerifiedLink.model_validate(x) for m in made.values() for x in m["verified"]]
        renamed = (x.model_copy(update={"network": network_of(x.network)}) for x in found)
        members = {member.engine: member.told for member in self._members.values()}
        self.links = RemoteLinks(plan, members, tuple(renamed))

    def _record(self, name: str) -> EngineRecord:
        member = self._members[name]
        where = self._placement
        return EngineRecord(
            name=name,
            underlay=self._underlay(name),
            networks=tuple(n for n, engine in where.networks.items() if engine == name),
            hosts=tuple(n for n, engine in where.nodes.items() if engine == name),
            clock=member.clock,
            versions=dict(member.facts.get("versions", {})),
            machine=dict(member.facts.get("machine", {})),
        )

    def _underlay(self, engine: str) -> str:
        return str(self._document.model.engines[engine].underlay)

    def _member_of(self, node: str) -> _Member:
        if node not in self._placement.nodes or not self._members:
            raise LabError(f"lab {self._lab.id} has no host '{node}' that is up")
        return self._members[self._placement.nodes[node]]


def placed(plan: LabPlan, engines: Document[Engines]) -> Placement:
    """Where everything goes; `InputError` if the hints part what has to be together."""
    hints = {
        network: name
        for name, engine in engines.model.engines.items()
        for network in engine.networks
    }
    try:
        return place(plan, tuple(engines.model.engines), hints)
    except TornError as error:
        name = hints[error.other]
        index = engines.model.engines[name].networks.index(error.other)
        raise InputError(
            engines.source.problem(
                ("engines", name, "networks", index),
                expected=f"'{error.other}' where '{error.one}' is, for a NAT is between them",
                got=f"it on '{name}', the other on '{hints[error.one]}'",
                remedy="put both on one engine",
            )
        ) from error


def _somebody_else(plan: LabPlan, network: str, name: str) -> Link | None:
    links = (x for n in plan.nodes if n.name != name for x in n.links if x.network == network)
    return next(links, None)


def _require_one_version(versions: Mapping[str, Mapping[str, str]]) -> None:
    found = {name: said.get("gsta", "of no release") for name, said in versions.items()}
    if len(set(found.values())) > 1:
        raise MachineError(
            "the engines have different versions of gsta: "
            + ", ".join(f"{name} {version}" for name, version in found.items()),
            remedy="install the same everywhere",
        )
