"""The user-space link, as the launcher sees it: a helper process that carries frames.

For kernels without the queues. Needs no more than packet sockets, so it works in user namespaces.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from launcher.impair.places import Place
from launcher.namespaces import entered
from topologies.errors import LabError, MachineError
from topologies.impairments import Stage

_ROOT: Final = Path(__file__).parents[2]
_END_S: Final = 5.0
_REMEDY: Final = "load the kernel's own queues with 'modprobe -a sch_netem sch_tbf' instead"


class UserSpaceLinks:
    """Links carried by a process of ours; a `launcher.impair.places.Mechanism`.

    The process starts at once, for it takes a second, and is waited for in `begin`.
    """

    name = "user-space link"

    def __init__(self, places: Sequence[Place], *, fabric: Path, seed: int) -> None:
        self._places, self._seed = places, seed
        command = [sys.executable, "-m", "launcher.impair.helper"]
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        with entered(fabric):
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,  # a Ctrl-C is for the launcher
            )

    def begin(self, stages: Mapping[str, Stage]) -> None:
        """Connect every cable and impair it, as the stage of its network says.

        Raises
        ------
        MachineError
            The process does not start here; says why.
        """
        try:
            self._hear()
            links = [[place.near, place.far] for place in self._places]
            frame_bytes = max(place.frame_bytes for place in self._places)
            self._tell(
                links=links,
                frame_bytes=frame_bytes,
                seed=self._seed,
                set={k: v for name, stage in stages.items() for k, v in self._lanes(name, stage)},
            )
        except LabError as error:
            raise MachineError(str(error), remedy=_REMEDY) from error

    def change(self, network: str, stage: Stage) -> None:
        """Impair the cables of a network differently from now on."""
        self._tell(set=dict(self._lanes(network, stage)))

    def restart(self) -> None:
        """Begin chance anew, so that what was sent before makes no difference."""
        self._tell(restart=True)

    def overrun(self) -> int:
        """Frames lost though nobody asked for it, since the last restart."""
        return int(self._tell()["overrun"])

    def check(self) -> None:
        """Raise `LabError` if the process has ended."""
        if self._process.poll() is not None:
            raise self._ended()

    def close(self) -> None:
        """End the process."""
        with self._process as process:
            if process.stdin is not None:
                with suppress(BrokenPipeError):
                    process.stdin.close()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def _lanes(self, network: str, stage: Stage) -> list[tuple[int, dict[str, Any]]]:
        """Numbers and values of the lanes of a network: down is from the bridge to the machine."""
        return [
            (2 * number + side, {**asdict(quality), "frame_bytes": place.frame_bytes})
            for number, place in enumerate(self._places)
            if place.segment.name == network
            for side, quality in enumerate((stage.down, stage.up))
        ]

    def _tell(self, **command: Any) -> Mapping[str, Any]:
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(command).encode() + b"\n")
                self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> Mapping[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else b""
        if line:
            answer: Mapping[str, Any] = json.loads(line)
            return answer
        raise self._ended()

    def _ended(self) -> LabError:
        said = self._process.stderr.read() if self._process.stderr is not None else b""
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        return LabError(f"the process that carries impaired links has ended ({last})")
