"""The images that Docker hosts are made of: built here, from Debian's packages, on change."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import launcher
from launcher import netfilter, nftrules
from topologies.errors import LabError, MachineError, NotFoundError, Problem

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.images import Image

BASE_IMAGE: Final = "debian:bookworm-slim"
SUITE: Final = "bookworm"
RECIPES: Final = Path(__file__).parent / "docker_image"
PROGRAMS: Final = Path(__file__).parent / "programs"
PROGRAMS_INSIDE: Final = "/opt/gsta/programs"
AGENT_COMMAND: Final = f"env PYTHONPATH=/opt/gsta/agent python3 -m {netfilter.__name__}"
DIGEST_LABEL: Final = "gsta.digest"
EPOCH_S: Final = 1  # modification time of every file: equal content makes an equal context


def roles() -> tuple[str, ...]:
    """Names of the images a topology may ask for."""
    return tuple(sorted(path.name.split(".")[0] for path in RECIPES.glob("*.Dockerfile")))


def ensure_image(client: DockerClient, role: str, packages: Sequence[str] = ()) -> str:
    """Build the image of a role unless it is there already; its id (``sha256:…``).

    ``packages`` are Debian packages it has besides: what the kinds of a lab use. All hosts of a lab
    have the same, so that an image does not tell attackers from users.

    Raises
    ------
    NotFoundError
        There is no such role.
    MachineError
        The Debian base image is neither here nor to be had.
    LabError
        The build failed; the message ends with its last lines.
    """
    context = build_context(role)
    digest = hashlib.sha256(context + " ".join(packages).encode()).hexdigest()
    tag = image_tag(role, packages)
    for image in client.images.list(filters={"label": f"{DIGEST_LABEL}={digest}"}):
        if tag in image.tags:
            return str(image.id)
    require_base(client)
    arguments = {"PACKAGES": " ".join(packages), **host_build_arguments()}
    return str(_build(client, context, arguments, tag=tag, digest=digest).id)


def image_tag(role: str, packages: Sequence[str] = ()) -> str:
    """Name of a role's image, with these packages besides, in the engine."""
    if not packages:
        return f"gsta/{role}:latest"
    return f"gsta/{role}:{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:12]}"


def build_context(role: str) -> bytes:
    """Tar of a role's Dockerfile and the lab's programs; the same bytes for the same content."""
    recipe = RECIPES / f"{role}.Dockerfile"
    if role not in roles():
        raise NotFoundError(
            Problem(
                role,
                "image",
                f"one of {', '.join(roles())}",
                f"'{role}'",
                "correct the host's image",
            )
        )
    files = {"Dockerfile": recipe}
    for module in (launcher, netfilter, nftrules):
        files[f"lab/agent/launcher/{Path(str(module.__file__)).name}"] = Path(str(module.__file__))
    for path in sorted(PROGRAMS.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            files[f"lab/programs/{path.relative_to(PROGRAMS)}"] = path
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = path.stat().st_size, EPOCH_S, 0o644
            with path.open("rb") as stream:
                archive.addfile(entry, stream)
    return buffer.getvalue()


def require_base(client: DockerClient, *, image: str = BASE_IMAGE) -> None:
    """Have the base image, from the registry if need be; `MachineError` says how else."""
    from docker.errors import APIError, ImageNotFound

    try:
        client.images.get(image)
    except ImageNotFound:
        try:
            client.images.pull(image)
        except APIError as error:
            raise MachineError(
                f"the image {image} is not here and cannot be pulled ({error.explanation})",
                remedy="make it from Debian's packages: sudo scripts/base-image "
                "(needs debootstrap), or pull it where a registry answers",
            ) from error


def _build(
    client: DockerClient, context: bytes, arguments: Mapping[str, str], *, tag: str, digest: str
) -> Image:
    from docker.errors import BuildError

    try:
        image, _ = client.images.build(
            fileobj=io.BytesIO(context),
            custom_context=True,
            tag=tag,
            labels={DIGEST_LABEL: digest},
            network_mode="host",
            buildargs=dict(arguments),
            rm=True,
            forcerm=True,
        )
    except BuildError as error:
        lines = [str(entry.get("stream", "")) for entry in error.build_log if "stream" in entry]
        tail = "".join(lines)[-1_500:].strip()
        raise LabError(f"the image {tag} could not be built: {error.msg}\n{tail}") from error
    client.images.prune(filters={"dangling": True, "label": DIGEST_LABEL})  # what it replaces
    return image


def host_build_arguments() -> dict[str, str]:
    """How this machine's apt reaches Debian: its mirror and proxy, for the build alone."""
    arguments = {}
    mirror = _said_by("apt-get", "indextargets", "--format", _TARGET, "Created-By: Packages")
    for line in mirror.splitlines():
        target = json.loads(line)
        if target["suite"] == SUITE and target["site"].startswith("http://"):
            arguments["MIRROR"] = target["site"]
            break
    proxy = _said_by("apt-config", "dump", "--format", "%v%n", "Acquire::http::Proxy").strip()
    if proxy and proxy != "DIRECT":
        # Docker keeps these predefined arguments out of the image and its history.
        arguments |= {"http_proxy": proxy, "HTTP_PROXY": proxy}
    return arguments


_TARGET: Final = '{"suite": "$(RELEASE)", "site": "$(SITE)"}'


def _said_by(*command: str) -> str:
    """Output of an apt tool; nothing where the machine is no Debian."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
