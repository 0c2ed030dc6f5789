"""A program of this machine whose standard error is listened to."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress


class LocalProgram:
    """A `launcher.capture.Program` that is a child of ours."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        if process.stderr is None:
            raise ValueError("its standard error must be a pipe")
        self._process, self._stderr = process, process.stderr

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fileno(self) -> int:
        """Where its standard error is read."""
        return self._stderr.fileno()

    def serve_first(self) -> None:
        """Let it have a processor before the lab's programs, if this user may.

        A capture needs little, but on a busy machine its ring is full before an ordinary turn.
        """
        try:
            os.sched_setscheduler(self.pid, os.SCHED_RR, os.sched_param(1))
        except OSError:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self.pid, -20)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens if it has ended."""
        self._process.send_signal(number)

    def ended(self, timeout_s: float) -> bool:
        """Whether it ends within that time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._stderr.close()
        return True
