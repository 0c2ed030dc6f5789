"""The kernel's queues: what is asked of them, byte by byte, and which are taken."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from launcher.impair import USER_SPACE, choose, needed_queues
from launcher.impair.netem import netem_options
from topologies.impairments import Impairments, Quality

FRAME = 1_518
# Options that iproute2 6.1 sends, traced: tc qdisc add … netem delay 20ms 5ms loss 1.5% limit …
PLAIN = bytes.fromhex("b4c40400 e8030000 3d0ad703 00000000 00000000 2d310100")
# … delay 20ms 5ms distribution pareto loss gemodel 1% 20% duplicate 3% reorder 4% rate 100mbit
GEMODEL = bytes.fromhex("14000200 295c8f02 33333333 00000000 00000000")
REORDER = bytes.fromhex("a4703d0a 00000000")
HEAD = bytes.fromhex("b4c40400 e8030000 00000000 01000000 7b14ae07 2d310100")


def attributes(options: bytes) -> Iterator[tuple[int, bytes]]:
    place = 24
    while place < len(options):
        length, kind = struct.unpack_from("=HH", options, place)
        yield kind, options[place + 4 : place + length]
        place += (length + 3) // 4 * 4


def test_netem_is_asked_for_as_iproute2_does() -> None:
    plain = netem_options(
        Quality(delay_ms=20, jitter_ms=5, loss_percent=1.5), frame_bytes=FRAME, seed=9
    )
    assert plain[:4] + plain[8:24] == PLAIN[:4] + PLAIN[8:]  # all but the room for packets
    quality = Quality(
        delay_ms=20,
        jitter_ms=5,
        jitter_distribution="pareto",
        loss_percent=100 / 21,  # of which 1 % a packet is entered, and 20 % left
        loss_burst_packets=5,
        duplicate_percent=3,
        reorder_percent=4,
    )
    options = netem_options(quality, frame_bytes=FRAME, seed=9)
    assert options[:4] + options[8:24] == HEAD[:4] + HEAD[8:]
    found = dict(attributes(options))
    assert found[0x8005] == GEMODEL
    assert found[3] == REORDER
    assert struct.unpack("=IiIi", found[6]) == (2**32 - 1, 0, 0, 0)
    assert struct.unpack("=Q", found[14]) == (9,)
    table = struct.unpack("=4096h", found[2])
    assert table[-1] == 32_767
    assert table == tuple(sorted(table))


def test_what_is_not_asked_for_is_not_sent() -> None:
    options = netem_options(Quality(delay_ms=1), frame_bytes=FRAME, seed=0)
    assert [kind for kind, _ in attributes(options)] == [14]
    uniform = Quality(delay_ms=1, jitter_ms=1, jitter_distribution="uniform")
    options = netem_options(uniform, frame_bytes=FRAME, seed=0)
    assert [kind for kind, _ in attributes(options)] == [6, 14]


def test_a_long_delay_has_room_for_what_is_on_its_way() -> None:
    options = netem_options(Quality(delay_ms=1_000), frame_bytes=FRAME, seed=0)
    assert struct.unpack_from("=I", options, 4)[0] > 1e9 / 8 / FRAME


@pytest.mark.parametrize(
    ("asked", "queues"),
    [
        ({}, set()),
        ({"rate_mbit": 1}, {"tbf"}),
        ({"rate_mbit": 1, "loss_percent": 1}, {"tbf", "netem"}),
        ({"jitter_ms": 1}, {"netem"}),
        ({"up": {"duplicate_percent": 1}}, {"netem"}),
        ({"schedule": [{"at_s": 9, "delay_ms": 1}]}, {"netem"}),
    ],
)
def test_needs_are_known_without_asking_the_kernel(
    asked: dict[str, object], queues: set[str]
) -> None:
    assert needed_queues(Impairments.model_validate(asked).stages()) == queues


def test_what_the_kernel_lacks_is_done_by_ourselves() -> None:
    stages = {
        "free": Impairments().stages(),
        "slow": Impairments(rate_mbit=1).stages(),
        "far": Impairments(delay_ms=1).stages(),
    }
    assert choose(stages, lambda _: True) == {"slow": "tbf", "far": "netem"}
    assert choose(stages, lambda q: q == "tbf") == {"slow": "tbf", "far": USER_SPACE}
    assert choose(stages, lambda _: False) == {"slow": USER_SPACE, "far": USER_SPACE}
    assert choose({"free": stages["free"]}, lambda _: 1 / 0) == {}
