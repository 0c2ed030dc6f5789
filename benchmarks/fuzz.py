"""Feeds the meter broken frames and broken captures for as long as asked.

Frames of every kind are changed, cut and joined; captures of every format too. Each packet must be
in a flow or have one reason, the sums must be exact, and a file that cannot be read must give an
error that says where. The first input that breaks this is kept, and ends the program with status 1.

    python benchmarks/fuzz.py --minutes 20 --seed 1
"""

from __future__ import annotations

import argparse
import faulthandler
import gzip
import random
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Final

import zstandard

sys.path.insert(0, str(Path(__file__).parents[1]))

from flowmeter import MeterConfig, MeterResult, meter
from flowmeter.input.capture import CORRUPT_TAIL
from tests.flowmeter.conftest import Packet, enhanced, interface, pcap_bytes, section
from tests.flowmeter.frames import check, every_kind, read
from topologies.errors import CaptureError

KINDS: Final = every_kind()
LINKS: Final = sorted({link for link, _ in KINDS})
ROUND_FRAMES: Final = 1000
ROUND_FILES: Final = 20
LONGEST_S: Final = 120  # no input takes a second
VALUES: Final = (0, 1, 4, 6, 17, 41, 47, 0x45, 0x60, 0x7F, 0x80, 0xFF)


class Fuzz:
    """Makes inputs from a seed, and meters them."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._random = random.Random(seed)
        self._folder = folder
        self.file = folder / "input"
        self.frames = self.files = self.errors = 0

    def frames_round(self) -> None:
        """Many frames of all link types in one capture."""
        chosen = [self._frame() for _ in range(ROUND_FRAMES)]
        self.file.write_bytes(_pcapng(chosen))
        for tunnels in ("outer", "inner"):
            packets = read(self.file, tunnels=tunnels)
            _demand(len(packets) == len(chosen), f"{len(packets)} packets of {len(chosen)}")
            check(packets)
        result = meter(self.file)
        _demand(result.packets == len(chosen), f"{result.packets} packets of {len(chosen)}")
        _exact(result)
        self.frames += len(chosen)

    def files_round(self) -> None:
        """Damaged captures, a few frames each."""
        for _ in range(ROUND_FILES):
            chosen = [self._random.choice(KINDS) for _ in range(self._random.randint(0, 12))]
            data = self._changed(self._capture(chosen))
            self.file.write_bytes(data)
            self._meter_file()
            self.files += 1

    def _meter_file(self) -> None:
        try:
            _exact(meter(self.file))
        except CaptureError as error:
            self.errors += 1
            (problem,) = error.problems
            _demand(re.fullmatch(r"byte \d+", problem.path) is not None, f"no offset: {error}")
            _demand(problem.file == str(self.file), f"another file: {error}")
            if "corrupt='keep'" in problem.remedy:
                kept = meter(self.file, config=MeterConfig(corrupt="keep"))
                _demand(kept.rejects.get(CORRUPT_TAIL) == 1, f"not kept: {kept.rejects}")
                _exact(kept)

    def _frame(self) -> tuple[int, bytes]:
        draw = self._random
        link, frame = draw.choice(KINDS)
        how = draw.random()
        if how < 0.05:
            return draw.choice(LINKS), draw.randbytes(draw.randint(0, 200))
        if how < 0.2:  # the beginning of one, then another
            frame = frame[: draw.randint(0, len(frame))] + draw.choice(KINDS)[1]
        return link, self._changed(frame)

    def _capture(self, chosen: list[tuple[int, bytes]]) -> bytes:
        draw = self._random
        packets = [Packet(at / 1000, frame) for at, (_, frame) in enumerate(chosen)]
        if draw.random() < 0.5:
            data = _pcapng(chosen)
        else:
            order, unit_ns = draw.choice("<>"), draw.choice((1, 1000))
            data = pcap_bytes(packets, order=order, unit_ns=unit_ns, link=draw.choice(LINKS))
        if draw.random() < 0.3:  # so that what is inside the stream breaks too
            data = self._changed(data)
        packing = draw.random()
        if packing < 0.2:
            return gzip.compress(data, mtime=0)
        if packing < 0.4:
            return zstandard.ZstdCompressor(write_checksum=draw.random() < 0.5).compress(data)
        return data

    def _changed(self, data: bytes) -> bytes:
        """Flip bits, set bytes, cut, repeat: nothing at all to eight changes."""
        draw = self._random
        changed = bytearray(data)
        for _ in range(draw.choice((0, 1, 1, 2, 3, 8))):
            if not changed:
                break
            at, how = draw.randrange(len(changed)), draw.random()
            if how < 0.4:
                changed[at] ^= 1 << draw.randrange(8)
            elif how < 0.8:
                changed[at] = draw.choice(VALUES) if how < 0.6 else draw.randrange(256)
            elif how < 0.9:
                del changed[at:]
            elif how < 0.95:
                del changed[at : at + draw.randint(1, 8)]
            else:
                changed[at:at] = changed[at : at + draw.randint(1, 40)]
        return bytes(changed)


def _pcapng(chosen: list[tuple[int, bytes]]) -> bytes:
    blocks = [
        enhanced(Packet(0, frame), at * 1000, LINKS.index(link))
        for at, (link, frame) in enumerate(chosen)
    ]
    return section() + b"".join(interface(link) for link in LINKS) + b"".join(blocks)


def _exact(result: MeterResult) -> None:
    sides = [result.table.column(f"{side}_packets").to_pylist() for side in ("c2s", "s2c")]
    in_flows = sum(map(sum, sides))
    rejected = sum(result.rejects.values())
    _demand(result.packets == in_flows + rejected, f"{result.packets}: {in_flows} + {rejected}")


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def main() -> int:
    """Run for the time asked for; status 1 if an input broke the meter."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=1.0)
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args()
    end_s = time.monotonic() + asked.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(asked.seed, Path(folder))
        try:
            while time.monotonic() < end_s:
                faulthandler.dump_traceback_later(LONGEST_S, exit=True)
                fuzz.frames_round()
                fuzz.files_round()
        except Exception:  # noqa: BLE001 - whatever it is, the input is what counts
            traceback.print_exc()
            kept = Path(f"fuzz-{asked.seed}.bin")
            kept.write_bytes(fuzz.file.read_bytes())
            print(f"broken by the input now in {kept}")
            return 1
        finally:
            faulthandler.cancel_dump_traceback_later()
    print(
        f"seed {asked.seed}: {fuzz.frames + fuzz.files} inputs, {fuzz.frames} frames and "
        f"{fuzz.files} captures, of which {fuzz.errors} gave an error with its place; "
        "no crash, every sum exact"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
