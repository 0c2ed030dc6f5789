"""The one door to Ray: a cluster by address, or one of our own for a while."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

LONGEST_SCRATCH: Final = 24


@contextmanager
def cluster(cpus: int | None, address: str | None) -> Iterator[Any]:
    """Ray: the cluster at the address, one that is there already, or one of our own for a while."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Without it Ray hides GPUs from tasks that ask for none, and warns that it will not.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield ray
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    with ExitStack() as stack:
        here: dict[str, Any] = {}
        if address is None:
            folder = tempfile.TemporaryDirectory(
                prefix="gsta-ray-", dir=_scratch(), ignore_cleanup_errors=True
            )
            here = {
                "num_cpus": cpus or os.cpu_count(),
                "include_dashboard": False,
                "_temp_dir": stack.enter_context(folder),
            }
        ray.init(
            address=address,
            configure_logging=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **here,
        )
        stack.callback(ray.shutdown)
        yield ray


def _scratch() -> str:
    """Where Ray may put its files: a short path, for its sockets have to fit in 107 bytes."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= LONGEST_SCRATCH else "/tmp"  # noqa: S108 - a private folder in it
