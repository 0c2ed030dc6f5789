"""Golden captures: Tstat's idea of a flow."""

from __future__ import annotations

from tests.flowmeter.golden_flows import CLOSED, IDLE, RESET, closing
from tests.flowmeter.golden_kit import Golden, at, datagram, down, fact, golden, opened, up

TSTAT = {"semantics": "tstat"}


@golden
def tstat_starts_at_a_syn() -> Golden:
    """Data of an unknown connection is in no log."""
    frames = [at(0, up("A", 50, 60, 10, sport=41000)), *opened(1)]
    return Golden(
        frames=frames, facts=[fact((2, 1))], config=TSTAT, rejects={"outside_semantics": 1}
    )


@golden
def tstat_ends_at_a_reset() -> Golden:
    """That packet is counted, those after it are not."""
    frames = [*opened(), at(1, down("R", 5001)), at(1.1, up("A", 1001, 5001, 80))]
    facts = [fact((2, 2), s2c_rst_packets=1, c2s_payload_bytes=0, end_reason=RESET)]
    return Golden(frames=frames, facts=facts, config=TSTAT, rejects={"outside_semantics": 1})


@golden
def tstat_ends_when_both_fins_are_acknowledged() -> Golden:
    frames = [*opened(), *closing(1), at(1.5, down("A", 5002, 1002))]
    facts = [fact((4, 2), end_reason=CLOSED)]
    return Golden(frames=frames, facts=facts, config=TSTAT, rejects={"outside_semantics": 1})


@golden
def tstat_keeps_a_second_syn() -> Golden:
    """It does not split the flow, whatever its number."""
    frames = [*opened(), at(2, up("S", 777_000))]
    return Golden(frames=frames, facts=[fact((3, 1), c2s_syn_packets=2)], config=TSTAT)


@golden
def tstat_ignores_later_fragments() -> Golden:
    first, second = datagram(1480 - 8), datagram(0)
    first["IP"].flags, first["IP"].id = 1, 9
    second["IP"].frag, second["IP"].id = 185, 9
    facts = [fact((1, 0))]
    return Golden(
        frames=[at(0, first), at(0.1, second)], facts=facts, config=TSTAT,
        rejects={"outside_semantics": 1},
    )  # fmt: skip


@golden
def tstat_knows_no_icmp() -> Golden:
    packet = datagram(0)
    packet["IP"].proto = 1
    return Golden(frames=[at(0, packet), at(0.1, datagram(5))], facts=[fact((1, 0), protocol=17)],
                  config=TSTAT, rejects={"outside_semantics": 1})  # fmt: skip


@golden
def tstat_looks_for_idle_flows_as_others_begin() -> Golden:
    """207 s of silence end nothing; those before another flow begins do."""
    frames = [at(second, datagram(1)) for second in (0, 1, 195, 402)]
    other = [at(second, datagram(1, sport=6000 + second)) for second in (300, 700)]
    frames = [*frames[:3], other[0], frames[3], other[1], at(701, datagram(1))]
    facts = [
        fact((4, 0), end_reason=IDLE),
        fact((1, 0), end_reason=IDLE),
        fact((1, 0)),
        fact((1, 0)),
    ]
    return Golden(frames=frames, facts=facts, config=TSTAT)


@golden
def tstat_looks_at_a_part_of_its_table() -> Golden:
    """The flow of 2 s stands in part 1 of 10,000, which has its turn 5 s, 10 s and 15 s after 0."""
    begins = [at(second, datagram(1, sport=6000 + int(second))) for second in (0, 2, 11, 12.5)]
    again = at(13, datagram(1, sport=6002))
    facts = [fact((1, 0), end_reason=IDLE), fact((2, 0)), fact((1, 0)), fact((1, 0))]
    return Golden(frames=[*begins, again], facts=facts, config=TSTAT)


@golden
def tstat_gives_one_packet_10_s() -> Golden:
    """Also to SYNs without an answer, however many."""
    frames = [
        at(0, up("S", 1000)), at(9, up("S", 1000)), at(9.5, datagram(1)),
        at(25, datagram(1, sport=6000)), at(26, up("S", 1000)), at(27, datagram(1)),
    ]  # fmt: skip
    facts = [
        fact((2, 0), c2s_syn_packets=2, end_reason=IDLE), fact((1, 0), end_reason=IDLE),
        fact((1, 0)), fact((1, 0)), fact((1, 0)),
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts, config=TSTAT)
