"""Choosing what a lab's hosts are made of, and running an experiment there."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from gsta.streaming import metering
from launcher import engine, rootless
from launcher.activities import catalogue
from launcher.backend import Backend
from launcher.labstate import Lab
from launcher.run import Progress, RunOptions, run_experiment
from launcher.rundir import read_manifest
from topologies import Topology
from topologies.document import Document
from topologies.errors import INTERRUPTED, LabError, MachineError
from topologies.files import write_text

if TYPE_CHECKING:
    from launcher.scaleout.duties import WiredBackend
    from launcher.scaleout.engines import Engines

log = logging.getLogger(__name__)

BACKENDS: Final = ("auto", "docker", "netns")


def run_lab(
    document: Document[Topology],
    *,
    seed: int,
    out: Path,
    backend: str,
    progress: Progress,
    options: RunOptions | None = None,
    flows: Path | None = None,
    engines: Document[Engines] | None = None,
) -> Path:
    """Run one experiment in a lab of the chosen kind; its run directory.

    ``auto`` is docker where an engine answers and has, or can make, its image; else netns. A user
    who is not root gets Docker's own networks, or namespaces inside a user namespace. On several
    machines it is docker.

    Parameters
    ----------
    options
        How it is run and captured.
    flows
        Where to put its flow table, metered while it runs; the packets are not kept then. None:
        they are kept, and nothing is metered.
    engines
        The machines to run it on. None: this one.

    Raises
    ------
    MachineError
        This machine cannot run the lab; the remedy says what is missing.
    """
    options = options or RunOptions()

    def run(kind: str) -> Path:
        return _run_here(
            document,
            seed=seed,
            out=out,
            backend=kind,
            progress=progress,
            options=options,
            flows=flows,
            engines=engines,
        )

    if engines is not None:
        return run("docker" if backend == "auto" else backend)
    if backend == "docker" or (backend == "auto" and _docker_suits(document.model)):
        problem = _unplayable(document.model) or docker_problem()
        if problem is None:
            return run("docker")
        if backend == "docker":
            raise problem
        log.info("no docker lab: %s", problem)
    if os.geteuid() != 0:
        return _run_rootless(document, seed=seed, out=out, options=options, flows=flows)
    return run("netns")


def _docker_suits(topology: Topology) -> bool:
    """Whether this user's kind of Docker lab can do what the topology asks for."""
    wired = topology.routers or any(
        n.subnet6 or n.impairments.active for n in topology.networks.values()
    )
    return not _unplayable(topology) and (os.geteuid() == 0 or not wired)


def _unplayable(topology: Topology) -> MachineError | None:
    """What is wrong with playing a topology in containers."""
    kinds = {a.kind for a in topology.activities.values()}
    kinds |= {a.inside.kind for a in topology.activities.values() if a.inside}
    known = catalogue()
    lacking = sorted(k for k in kinds if k in known and "docker" not in known[k].backends)
    if not lacking:
        return None
    return MachineError(
        f"containers cannot play {', '.join(lacking)}", remedy="use --backend netns"
    )


def _run_here(
    document: Document[Topology],
    *,
    seed: int,
    out: Path,
    backend: str,
    progress: Progress,
    options: RunOptions,
    flows: Path | None,
    engines: Document[Engines] | None,
) -> Path:
    with ExitStack() as stack:
        if flows is not None:
            points = document.model.capture_points
            sink = stack.enter_context(metering(out.name, points, flows))
            options = replace(options, sink=sink)
        lab = stack.enter_context(Lab.create(backend=backend, run_dir=out))
        return run_experiment(
            document,
            seed=seed,
            out=out,
            backend=_backend(backend, lab) if engines is None else _scaled(backend, lab, engines),
            progress=progress,
            options=options,
        )


def _run_rootless(
    document: Document[Topology], *, seed: int, out: Path, options: RunOptions, flows: Path | None
) -> Path:
    """Run ``gsta lab run`` as root of a user namespace; its messages go where ours go."""
    if problem := rootless.rootless_problem():
        raise MachineError("this user can build no lab", remedy=problem)
    with tempfile.TemporaryDirectory(prefix="gsta-") as temporary:
        topology = Path(temporary) / "topology.yaml"
        write_text(topology, yaml.safe_dump(document.model.model_dump(mode="json")))
        gsta = [sys.executable, "-m", "gsta", "--quiet", "lab", "run", str(topology)]
        command = [*gsta, "--seed", str(seed), "--out", str(out), "--backend", "netns"]
        command += [f"--{name}={value}" for name, value in _as_options(options).items()]
        command += [] if flows is None else ["--no-pcap", f"--flows={flows}"]
        done = subprocess.run(
            rootless.rootless_command(command), stdout=subprocess.DEVNULL, check=False
        )
    if done.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if done.returncode != 0:
        raise LabError(f"the rootless lab ended with exit code {done.returncode}")
    return out


def _as_options(options: RunOptions) -> dict[str, float]:
    """What the command line calls them."""
    capture = options.capture
    return {
        "snaplen": capture.snaplen_bytes,
        "rotate-mb": capture.rotate_mb,
        "rotate-s": capture.rotate_s,
        "ring": capture.ring,
        "time-scale": options.time_scale,
    }


def _backend(name: str, lab: Lab) -> Backend:
    # Each loads a library that only it needs.
    if name == "netns":
        from launcher.netns import NetnsBackend

        return NetnsBackend(lab)
    if os.geteuid() == 0:
        from launcher.docker import DockerBackend

        return DockerBackend(lab)
    from launcher.docker_native import DockerNativeBackend

    return DockerNativeBackend(lab)


def _scaled(name: str, lab: Lab, engines: Document[Engines]) -> Backend:
    from launcher.scaleout.backend import ScaleOutBackend

    return ScaleOutBackend(lab, engines, kind=name)


def wired_backend(name: str, lab: Lab) -> WiredBackend:
    """A lab that is wired here, and can so be joined to what is on other machines.

    Raises
    ------
    MachineError
        This user is not root, or there is no engine.
    """
    if os.geteuid() != 0:
        raise MachineError(
            "only root can join a lab to other machines",
            remedy="reach the machine as root (ssh root@…, or sudo with no password)",
        )
    if name == "netns":
        from launcher.netns import NetnsBackend

        return NetnsBackend(lab)
    if problem := docker_problem():
        raise problem
    from launcher.docker import DockerBackend

    return DockerBackend(lab)


def docker_problem() -> MachineError | None:
    """Why no lab of containers can run here; None if one can. May pull the base image."""
    if engine.socket_path() is None:
        return MachineError(
            "no container engine can be reached",
            remedy="install docker.io, start it, and be root or in the group 'docker'; "
            "or use --backend netns",
        )
    from launcher import docker

    try:
        docker.ready()
    except MachineError as error:
        return error
    return None


def run_summary(run_dir: Path) -> str:
    """What came of a run, in a line."""
    manifest = read_manifest(run_dir)
    outcomes = {how: manifest.counts.get(how, 0) for how in ("ok", "failed", "stopped")}
    ended = ", ".join(f"{count} {how}" for how, count in outcomes.items() if count)
    packets = sum(capture.packets for capture in manifest.captures)
    where = f" on {len(manifest.engines)} machines" if manifest.engines else ""
    return (
        f"{manifest.run_id}, a {manifest.backend} lab{where}: {sum(outcomes.values())} sessions "
        f"({ended}), {packets} packets" + "".join(f"\nlost: {x}" for x in manifest.losses)
    )


def shortened(document: Document[Topology], seconds: float) -> Document[Topology]:
    """The same topology with its phases scaled to last ``seconds`` in all."""
    topology = document.model
    factor = seconds / topology.duration_s
    phases = tuple(phase.scaled(factor) for phase in topology.phases)
    return Document(topology.model_copy(update={"phases": phases}), document.source)
