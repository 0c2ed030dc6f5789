"""Choosing what a lab's hosts are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from gsta.labs import run_lab
from topologies import load_topology
from topologies.errors import MachineError


def test_containers_are_refused_what_they_cannot_play(tmp_path: Path) -> None:
    document = load_topology("internet-mini")
    with pytest.raises(
        MachineError, match="containers cannot play openvpn, pop3, wireguard"
    ) as told:
        run_lab(
            document,
            seed=1,
            out=tmp_path / "run",
            backend="docker",
            progress=lambda *_: None,
        )
    assert told.value.remedy == "use --backend netns"
    assert not (tmp_path / "run").exists()
