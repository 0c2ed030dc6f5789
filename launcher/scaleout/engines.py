"""The engines file: which machines a lab may use, how they are reached, what goes where."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from topologies.addresses import Address
from topologies.document import Document, read_source, validate
from topologies.errors import InputError, Problem
from topologies.faults import fault
from topologies.model import Model, Name

_SOCKET = re.compile(r"unix:///\S+")


def _words(text: str) -> str:
    try:
        shlex.split(text)
    except ValueError as error:
        raise fault(
            expected="a command as a shell takes it",
            got=f"'{text}'",
            remedy="close every quotation mark",
        ) from error
    return text


def _socket(text: str) -> str:
    if text and not _SOCKET.fullmatch(text):
        raise fault(
            expected="unix:///PATH, the socket of the engine on its own machine",
            got=f"'{text}'",
            remedy="say with reach: how to get to the machine, ssh for example",
        )
    return text


def _address(value: object) -> Address:
    try:
        return ip_address(value if isinstance(value, str) else "")
    except ValueError as error:
        raise fault(
            expected="an IP address",
            got=f"'{value}'",
            remedy="write the one by which the other machines reach it",
        ) from error


Words = Annotated[str, AfterValidator(_words)]


class Engine(Model):
    """A machine with a container engine (or, with ``--backend netns``, without)."""

    underlay: Annotated[Address, BeforeValidator(_address)] = Field(
        description="its address that the other machines reach"
    )
    reach: Words = Field(
        "", description="what runs a command there, as ssh root@lab-2; empty: this machine"
    )
    gsta: Words = Field("", description="the gsta command there; empty: gsta, or this one's own")
    docker: Annotated[str, AfterValidator(_socket)] = Field(
        "", description="the engine's socket there, unix:///PATH; empty: its usual one"
    )
    networks: tuple[Name, ...] = Field((), description="that are to be there")

    def command(self, *arguments: str) -> list[str]:
        """What runs ``gsta ARGUMENTS`` on the machine."""
        own = [sys.executable, "-m", "gsta"] if not self.reach else ["gsta"]
        socket = ["env", f"DOCKER_HOST={self.docker}"] if self.docker else []
        return [*shlex.split(self.reach), *socket, *(shlex.split(self.gsta) or own), *arguments]


class Engines(Model):
    """An engines file."""

    engines: Annotated[dict[Name, Engine], Field(min_length=1)]


def load_engines(path: Path, networks: Iterable[str]) -> Document[Engines]:
    """Read an engines file for a topology that has these networks.

    Raises
    ------
    NotFoundError
        There is no such file.
    InputError
        It has faults; all of them are listed.
    """
    document = validate(read_source(path), Engines)
    if problems := list(_problems(document, tuple(networks))):
        raise InputError(problems)
    return document


def _problems(document: Document[Engines], networks: tuple[str, ...]) -> Iterator[Problem]:
    underlays: dict[Address, str] = {}
    placed: dict[str, str] = {}
    for name, engine in document.model.engines.items():
        place = ("engines", name)
        other = underlays.setdefault(engine.underlay, name)
        if other != name:
            yield document.source.problem(
                (*place, "underlay"),
                expected="an address of its own",
                got=f"{engine.underlay}, which engine '{other}' has",
                remedy="give each machine its own address",
            )
        if engine.underlay.version != next(iter(underlays)).version:
            yield document.source.problem(
                (*place, "underlay"),
                expected=f"an IPv{next(iter(underlays)).version} address like the others'",
                got=str(engine.underlay),
                remedy="use one version of IP between the machines",
            )
        for index, network in enumerate(engine.networks):
            other = placed.setdefault(network, name)
            if network not in networks:
                expected, got = "a network of the topology", f"'{network}'"
                remedy = f"use one of: {', '.join(networks)}"
            elif other != name or network in engine.networks[:index]:
                expected, got = "each network once", f"'{network}', which '{other}' has"
                remedy = "remove one of the two"
            else:
                continue
            yield document.source.problem(
                (*place, "networks", index), expected=expected, got=got, remedy=remedy
            )
