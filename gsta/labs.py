"""Choosing what a lab's hosts are made of, and running an experiment there."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import yaml

from launcher import engine, rootless
from launcher.backend import Backend
from launcher.labstate import Lab
from launcher.run import Progress, run_experiment
from launcher.rundir import read_manifest
from topologies import Impairments, Topology
from topologies.document import Document
from topologies.errors import INTERRUPTED, LabError, MachineError
from topologies.files import write_text

log = logging.getLogger(__name__)

BACKENDS: Final = ("auto", "docker", "netns")


def run_lab(
    document: Document[Topology], *, seed: int, out: Path, backend: str, progress: Progress
) -> Path:
    """Run one experiment in a lab of the chosen kind; its run directory.

    ``auto`` is docker where an engine answers and has, or can make, its image; else netns. A user
    who is not root gets Docker's own networks, or namespaces inside a user namespace.

    Raises
    ------
    MachineError
        This machine cannot run the lab; the remedy says what is missing.
    """
    if backend == "docker" or (backend == "auto" and _docker_suits(document.model)):
        problem = docker_problem()
        if problem is None:
            return _run_here(document, seed=seed, out=out, backend="docker", progress=progress)
        if backend == "docker":
            raise problem
        log.info("no docker lab: %s", problem)
    if os.geteuid() != 0:
        return _run_rootless(document, seed=seed, out=out)
    return _run_here(document, seed=seed, out=out, backend="netns", progress=progress)


def _docker_suits(topology: Topology) -> bool:
    """Whether this user's kind of Docker lab can do what the topology asks for."""
    plain = Impairments()
    return os.geteuid() == 0 or not (
        topology.routers
        or any(n.subnet6 or n.impairments != plain for n in topology.networks.values())
    )


def _run_here(
    document: Document[Topology], *, seed: int, out: Path, backend: str, progress: Progress
) -> Path:
    with Lab.create(backend=backend, run_dir=out) as lab:
        return run_experiment(
            document, seed=seed, out=out, backend=_backend(backend, lab), progress=progress
        )


def _run_rootless(document: Document[Topology], *, seed: int, out: Path) -> Path:
    """Run ``gsta lab run`` as root of a user namespace; its messages go where ours go."""
    if problem := rootless.rootless_problem():
        raise MachineError("this user can build no lab", remedy=problem)
    with tempfile.TemporaryDirectory(prefix="gsta-") as temporary:
        topology = Path(temporary) / "topology.yaml"
        write_text(topology, yaml.safe_dump(document.model.model_dump(mode="json")))
        gsta = [sys.executable, "-m", "gsta", "--quiet", "lab", "run", str(topology)]
        command = [*gsta, "--seed", str(seed), "--out", str(out), "--backend", "netns"]
        done = subprocess.run(
            rootless.rootless_command(command), stdout=subprocess.DEVNULL, check=False
        )
    if done.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if done.returncode != 0:
        raise LabError(f"the rootless lab ended with exit code {done.returncode}")
    return out


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
    ended = ", ".join(
        f"{manifest.counts[outcome]} {outcome}"
        for outcome in ("ok", "failed", "stopped")
        if manifest.counts.get(outcome)
    )
    packets = sum(capture.packets for capture in manifest.captures)
    return (
        f"{manifest.run_id}, a {manifest.backend} lab: {manifest.counts['sessions']} sessions "
        f"({ended}), {packets} packets"
    )


def shortened(document: Document[Topology], seconds: float) -> Document[Topology]:
    """The same topology with its phases scaled to last ``seconds`` in all."""
    topology = document.model
    factor = seconds / topology.duration_s
    phases = tuple(
        phase.model_copy(update={"duration_s": phase.duration_s * factor})
        for phase in topology.phases
    )
    return Document(topology.model_copy(update={"phases": phases}), document.source)
