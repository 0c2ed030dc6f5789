"""Killing processes for certain: by handle, so never a stranger with the same id."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Final

_GONE_S: Final = 5.0
_BATCH: Final = 200  # well below the usual limit of open files


def kill(pids: Iterable[int], *, timeout_s: float = _GONE_S) -> bool:
    """Kill processes and wait until they have ended; False if one has not in time.

    Ended ones that are this process's children still have to be waited for by whoever started them.
    """
    deadline = time.monotonic() + timeout_s
    waiting = list(pids)
    ended = True
    for start in range(0, len(waiting), _BATCH):
        ended &= _kill_batch(waiting[start : start + _BATCH], deadline)
    return ended


def _kill_batch(pids: Iterable[int], deadline: float) -> bool:
    with ExitStack() as stack:
        handles = []
        for pid in pids:
            with suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                stack.callback(os.close, handle)
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                handles.append(handle)
        return all(_ended(handle, deadline) for handle in handles)


def _ended(handle: int, deadline: float) -> bool:
    # A handle can be read from once its process has ended.
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    return bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1e3))
