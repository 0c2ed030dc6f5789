"""What a lab uses of the machine: found in the path, by Python, or as a file, or asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher import needs
from launcher.activities.kind import Need
from topologies.errors import MachineError


def test_what_is_here_is_not_asked_for(tmp_path: Path) -> None:
    plug_in = tmp_path / "module.so"
    here = [Need("coreutils", command="ls"), Need("python3", module="json")]
    assert needs.missing([*here, Need("plug-in", file=str(plug_in))]) == (
        Need("plug-in", file=str(plug_in)),
    )
    plug_in.touch()
    needs.require([*here, Need("plug-in", file=str(plug_in))])


def test_all_that_is_lacking_is_named_with_its_remedy() -> None:
    lacking = [
        Need("one", command="no-such-program"),
        Need("two", file="/no/such/plug-in.so"),
        Need("three", module="no_such_module"),
    ]
    with pytest.raises(MachineError) as caught:
        needs.require(lacking)
    said = str(caught.value)
    for part in (
        *("no-such-program", "/no/such/plug-in.so", "no_such_module"),
        *("--no-install-recommends one two", "gsta[lab]"),
    ):
        assert part in said


def test_an_image_gets_each_package_once() -> None:
    wanted = [Need("b", command="x"), Need("a", module="y"), Need("b", file="/z")]
    assert needs.packages(wanted) == ("a", "b")
