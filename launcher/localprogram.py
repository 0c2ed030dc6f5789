"""A program of this machine whose standard error is listened to."""

from __future__ import annotations

import signal
import subprocess


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
