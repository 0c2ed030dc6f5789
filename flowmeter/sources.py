"""Where packets come from: capture files, or a live interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from flowmeter.config import MeterConfig
from flowmeter.crew import IN_USE

if TYPE_CHECKING:
    from flowmeter.core.layout import Records


class Packets(Protocol):
    """Packets on their way in.

    Attributes
    ----------
    tails
        Files that end within a packet, and how: names of `reject_table`.
    live
        Whether packets come as time passes.
    at_hand
        Whether none has to be waited for.
    """

    live: bool
    at_hand: bool

    @property
    def tails(self) -> dict[str, str]:
        """See above; complete after the last batch."""

    def batches(self) -> Iterator[Records | int]:
        """PACKET records in order, or what time (ns) it is when none have come for a while."""


class LiveSource(Protocol):
    """Something that packets can be taken from as they come (`flowmeter.live.Interface`)."""

    def opened(self, config: MeterConfig) -> AbstractContextManager[Packets]:
        """Begin to capture, end at the end of the context."""


Source: TypeAlias = str | Path | Sequence[str | Path] | LiveSource


def opened(source: Source, config: MeterConfig) -> AbstractContextManager[Packets]:
    """The packets of a source, for as long as the context lasts."""
    if isinstance(source, str | Path):
        return nullcontext(_Files([source], config))
    if isinstance(source, Sequence):
        return nullcontext(_Files(source, config))
    return source.opened(config)


class _Files:
    """Capture files, merged by time; a `Packets`."""

    live = False

    def __init__(self, paths: Sequence[str | Path], config: MeterConfig) -> None:
        from flowmeter.input.capture import CaptureReader

        self.at_hand = all(Path(path).is_file() for path in paths)
        self._readers = [
            CaptureReader(
                Path(path),
                corrupt=config.corrupt,
                tunnels=config.tunnels,
                in_use=IN_USE if config.threads > 1 and len(paths) == 1 else 1,
            )
            for path in paths
        ]

    @property
    def tails(self) -> dict[str, str]:
        """Files that break off, and how."""
        return {str(reader.path): reader.tail for reader in self._readers if reader.tail}

    def batches(self) -> Iterator[Records]:
        """Packets in order of time."""
        from flowmeter.input.capture import merged

        yield from merged(self._readers)
