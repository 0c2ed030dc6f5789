"""Window features against a slow reference that keeps every opening."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmeter.core.layout import RECENT
from flowmeter.core.recent import Recent, grown_recent, new_recent, note_opening

WINDOW_NS = 1000
V4_TCP, V4_UDP, V6_TCP = (4 << 8) | 6, (4 << 8) | 17, (6 << 8) | 6


@dataclass(frozen=True)
class Opening:
    time_ns: int
    source: int
    target: int
    kind: int
    port: int


def counted(openings: list[Opening], *, room: int = 1) -> tuple[list[dict[str, int]], Recent]:
    recent, rows, out = new_recent(WINDOW_NS, room), [], np.zeros(1, RECENT)

    def note(opening: Opening) -> bool:
        words = (np.uint64(0), np.uint64(opening.source), np.uint64(0), np.uint64(opening.target))
        kind, port = np.uint64(opening.kind), np.uint16(opening.port)
        done: bool = note_opening(recent, *words, kind, port, opening.time_ns, out[0])
        return done

    for opening in openings:
        while not note(opening):
            recent = grown_recent(recent)
        rows.append({name: int(out[name][0]) for name in RECENT.names or ()})
    return rows, recent


def reference(openings: list[Opening]) -> list[dict[str, int]]:
    rows = []
    for position, new in enumerate(openings):
        now_ns = max(opening.time_ns for opening in openings[: position + 1])
        begun = [
            old
            for number, old in enumerate(openings[:position])
            if max(o.time_ns for o in openings[: number + 1]) >= now_ns - WINDOW_NS
        ]
        version = new.kind >> 8
        begun = [old for old in begun if old.kind >> 8 == version]
        from_source = [old for old in begun if old.source == new.source]
        to_target = [old for old in begun if old.target == new.target]
        pair = [old for old in from_source if old.target == new.target]
        service = [old for old in to_target if (old.kind, old.port) == (new.kind, new.port)]
        rows.append(
            {
                "pair_flows": len(pair),
                "pair_ports": len({old.port for old in pair}),
                "source_flows": len(from_source),
                "source_hosts": len({old.target for old in from_source}),
                "target_flows": len(to_target),
                "service_flows": len(service),
            }
        )
    return rows


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.builds(
            Opening,
            time_ns=st.integers(0, 4 * WINDOW_NS),
            source=st.integers(1, 4),
            target=st.integers(1, 4),
            kind=st.sampled_from((V4_TCP, V4_UDP, V6_TCP)),
            port=st.integers(0, 3),
        ),
        max_size=120,
    ),
    st.booleans(),
)
def test_counts_are_exact(openings: list[Opening], in_order: bool) -> None:
    if in_order:
        openings.sort(key=lambda opening: opening.time_ns)
    assert counted(openings)[0] == reference(openings)


def test_the_window_has_two_closed_ends() -> None:
    times = (0, WINDOW_NS, WINDOW_NS + 1, WINDOW_NS + 1)
    rows, _ = counted([Opening(time_ns, 1, 2, V4_TCP, 80) for time_ns in times])
    assert [row["pair_flows"] for row in rows] == [0, 1, 1, 2]


def test_both_ways_of_a_pair_are_two_pairs() -> None:
    rows, _ = counted([Opening(0, 1, 2, V4_TCP, 80), Opening(0, 2, 1, V4_TCP, 80)])
    assert set(rows[1].values()) == {0}


def test_a_scan_shows() -> None:
    ports = [Opening(port, 1, 2, V4_TCP, port) for port in range(500)]
    hosts = [Opening(500 + host, 1, 10 + host, V4_TCP, 80) for host in range(300)]
    rows, _ = counted(ports + hosts)
    assert rows[499]["pair_ports"] == rows[499]["pair_flows"] == 499
    assert rows[499]["source_hosts"] == rows[499]["service_flows"] + 1 == 1
    assert (rows[-1]["source_hosts"], rows[-1]["source_flows"]) == (300, 799)


@pytest.mark.parametrize("seed", range(3))
def test_memory_is_bounded_by_the_window(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, steps = 20_000, rng.integers(0, 20, 20_000)
    hosts, ports = rng.integers(0, 2**32, (2, count)), rng.integers(0, 2**16, count)
    openings = [
        Opening(int(time_ns), int(source), int(target), V4_TCP, int(port))
        for time_ns, source, target, port in zip(np.cumsum(steps), *hosts, ports, strict=True)
    ]
    rows, recent = counted(openings)
    assert len(recent.openings) <= 256  # about a hundred begin in a window
    now_ns = openings[-1].time_ns
    within = [opening for opening in openings if opening.time_ns >= now_ns - WINDOW_NS]
    assert recent.ring["openings"][0] == len(within)
    # Nothing stays in the table of what has left the window.
    assert recent.counts["flows"].sum() == 5 * len(within)
    assert (recent.counts["flows"] >= 0).all()
    assert max(row["pair_flows"] for row in rows) == 0


def test_entries_move_up_when_others_leave() -> None:
    # A full ring of one-second openings, sliding: each leaves holes in runs of the crowded table.
    openings = [Opening(WINDOW_NS // 8 * step, step % 7, step % 5, V4_UDP, step % 3)
                for step in range(600)]  # fmt: skip
    assert all(later.time_ns > earlier.time_ns for earlier, later in pairwise(openings))
    assert counted(openings)[0] == reference(openings)
