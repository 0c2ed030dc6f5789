"""What an image is built from; nothing here needs an engine."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from launcher import images
from launcher.docker import connect
from topologies.errors import MachineError, NotFoundError


def files_of(context: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(context)) as archive:
        return {entry.name: entry for entry in archive}


def test_the_same_content_makes_the_same_context() -> None:
    assert images.roles() == ("base",)
    for role in images.roles():
        assert images.build_context(role) == images.build_context(role)


def test_every_program_is_in_the_context_and_nothing_that_python_left() -> None:
    names = files_of(images.build_context("base")).keys()
    programs = {f"lab/programs/{path.name}" for path in images.PROGRAMS.glob("*.py")}
    assert programs
    assert {"Dockerfile", "lab/agent/launcher/netfilter.py"} | programs <= names
    assert not any("__pycache__" in name for name in names)


def test_a_host_that_asks_for_no_known_image_is_refused() -> None:
    with pytest.raises(NotFoundError, match="expected one of base, got 'nonsense'"):
        images.build_context("nonsense")


def test_only_a_mirror_that_the_bare_image_can_reach_is_carried_into_the_build() -> None:
    # The base image has no certificates, so a mirror by HTTPS is of no use to it.
    assert images.host_build_arguments().get("MIRROR", "http://").startswith("http://")


def test_without_an_engine_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(MachineError, match=r"no Docker engine can be reached; .* netns back end"):
        connect()
