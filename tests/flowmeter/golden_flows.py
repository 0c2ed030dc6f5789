"""Golden captures: where flows begin and end, and who began them."""

from __future__ import annotations

from tests.flowmeter.golden_kit import (
    CLIENT,
    DPORT,
    SERVER,
    SPORT,
    Frame,
    Golden,
    at,
    datagram,
    down,
    fact,
    golden,
    opened,
    up,
)

IDLE, ACTIVE, CLOSED, FORCED, REUSED, RESET = 1, 2, 3, 4, 6, 7


def closing(begin_s: float) -> list[Frame]:
    """FIN, FIN and ACK, and the last ACK, after a handshake without data."""
    return [
        at(begin_s, up("FA", 1001, 5001)),
        at(begin_s + 0.1, down("FA", 5001, 1002)),
        at(begin_s + 0.2, up("A", 1002, 5002)),
    ]


@golden
def initiator_sends_the_syn() -> Golden:
    facts = [fact((2, 1), src_ip=CLIENT, src_port=SPORT, dst_port=DPORT, end_reason=FORCED)]
    return Golden(frames=opened(), facts=facts)


@golden
def initiator_when_the_syn_was_missed() -> Golden:
    """A SYN-ACK comes first: the one it answers is the initiator."""
    frames = opened()[1:]
    facts = [fact((1, 1), src_ip=CLIENT, s2c_syn_packets=1)]
    return Golden(frames=frames, facts=facts)


@golden
def initiator_midway() -> Golden:
    """Joined while the server sends: it counts as the initiator."""
    frames = [at(0, down("A", 9000, 1, 500)), at(0.1, up("A", 1, 9500))]
    facts = [fact((1, 1), src_ip=SERVER, src_port=DPORT, c2s_payload_bytes=500)]
    return Golden(frames=frames, facts=facts)


@golden
def initiator_of_datagrams() -> Golden:
    frames = [at(0, datagram(5, back=True)), at(0.1, datagram(6))]
    facts = [fact((1, 1), src_ip=SERVER, src_port=53, c2s_payload_bytes=5, s2c_payload_bytes=6)]
    return Golden(frames=frames, facts=facts)


@golden
def udp_idle() -> Golden:
    """60 s of silence are not too long, 60.000001 s are."""
    frames = [at(0, datagram(1)), at(60, datagram(2)), at(120.000001, datagram(3))]
    facts = [fact((2, 0), end_reason=IDLE, duration_s=60), fact((1, 0), end_reason=FORCED)]
    return Golden(frames=frames, facts=facts)


@golden
def tcp_idle() -> Golden:
    frames = [*opened(), at(300.015, up("A", 1001, 5001, 9)), at(601, up("A", 1010, 5001, 9))]
    facts = [
        fact((3, 1), end_reason=IDLE, idle_periods=1, c2s_payload_bytes=9),
        fact((1, 0), end_reason=FORCED, src_ip=CLIENT, segment=0),
    ]
    return Golden(frames=frames, facts=facts)


@golden
def idle_by_option() -> Golden:
    frames = [at(0, datagram(1)), at(2.5, datagram(2))]
    facts = [fact((1, 0), end_reason=IDLE), fact((1, 0), end_reason=FORCED)]
    return Golden(frames=frames, facts=facts, config={"udp_idle_s": 2.0})


@golden
def idle_before_the_end_of_the_capture() -> Golden:
    """Another flow goes on for two minutes: the first had ended by itself."""
    later = [at(second, datagram(1, sport=6000)) for second in range(0, 180, 30)]
    facts = [fact((1, 0), src_port=5000, end_reason=IDLE), fact((6, 0), src_port=6000,
                                                                  end_reason=FORCED)]  # fmt: skip
    return Golden(frames=[at(0, datagram(1)), *later], facts=facts)


@golden
def active_timeout() -> Golden:
    """A datagram every 20 s for 100 s, cut after 40 s: 0-40, 60-100, linked."""
    frames = [at(20 * number, datagram(7, back=number % 2 == 1)) for number in range(6)]
    facts = [
        fact((2, 1), segment=0, end_reason=ACTIVE, duration_s=40),
        # Its first packet is the server's, but the initiator stays.
        fact((1, 2), segment=1, end_reason=FORCED, src_ip=CLIENT, duration_s=40),
    ]
    return Golden(frames=frames, facts=facts, config={"active_s": 40.0})


@golden
def active_timeout_three_segments() -> Golden:
    """All segments name the first as their origin."""
    frames = [at(10 * number, datagram(7)) for number in range(7)]
    facts = [fact((3, 0), segment=number, duration_s=20) for number in range(2)]
    facts.append(fact((1, 0), segment=2, duration_s=0))
    return Golden(frames=frames, facts=facts, config={"active_s": 20.0})


@golden
def closed_by_fins() -> Golden:
    """The late repetition 5 s later still belongs to it; what comes 11 s after that does not."""
    frames = [
        *opened(), *closing(1), at(6.2, down("FA", 5001, 1002)), at(17.5, down("FA", 5001, 1002)),
    ]  # fmt: skip
    facts = [
        fact((4, 3), end_reason=CLOSED, s2c_fin_packets=2, s2c_retransmitted_packets=1),
        fact((1, 0), src_ip=SERVER, end_reason=FORCED),
    ]
    return Golden(frames=frames, facts=facts)


@golden
def closed_at_the_end_of_the_capture() -> Golden:
    return Golden(frames=[*opened(), *closing(1)], facts=[fact((4, 2), end_reason=FORCED)])


@golden
def half_closed() -> Golden:
    """One FIN is not the end: the server may go on."""
    frames = [
        *opened(), at(1, up("FA", 1001, 5001)), at(1.1, down("A", 5001, 1002)),
        at(60, down("A", 5001, 1002, 300)), at(60.1, up("A", 1002, 5301)),
    ]  # fmt: skip
    return Golden(frames=frames, facts=[fact((4, 3), end_reason=FORCED, s2c_payload_bytes=300)])


@golden
def reset_lingers() -> Golden:
    """A forged reset cuts nothing that goes on within 10 s."""
    frames = [
        *opened(), at(1, down("R", 5001)), at(5, up("A", 1001, 5001, 80)),
        at(14.9, up("A", 1081, 5001, 80)),
    ]  # fmt: skip
    facts = [fact((4, 2), end_reason=FORCED, c2s_payload_bytes=160, s2c_rst_packets=1)]
    return Golden(frames=frames, facts=facts)


@golden
def reset_and_silence() -> Golden:
    frames = [*opened(), at(1, down("RA", 5001, 1001)), at(11.5, up("A", 1001, 5001, 80))]
    facts = [fact((2, 2), end_reason=RESET), fact((1, 0), end_reason=FORCED)]
    return Golden(frames=frames, facts=facts)


@golden
def refused() -> Golden:
    """A closed port answers the SYN with a reset."""
    frames = [at(0, up("S", 1000)), at(0.001, down("RA", 0, 1001))]
    facts = [fact((1, 1), end_reason=FORCED, s2c_rst_packets=1, c2s_rtt_samples=0)]
    # The reset acknowledges the SYN exactly: that is a round trip.
    facts[0]["c2s_rtt_samples"] = 1
    return Golden(frames=frames, facts=facts)


@golden
def port_reuse() -> Golden:
    """A SYN with another initial sequence number, a second after the connection was closed."""
    frames = [*opened(), *closing(1), at(2, up("S", 777_000)), at(2.01, down("SA", 1, 777_001))]
    facts = [fact((4, 2), end_reason=REUSED), fact((1, 1), end_reason=FORCED, c2s_syn_packets=1)]
    return Golden(frames=frames, facts=facts)


@golden
def port_reuse_of_an_open_flow() -> Golden:
    frames = [*opened(), at(2, up("S", 777_000)), at(2.01, down("SA", 1, 777_001))]
    facts = [fact((2, 1), end_reason=REUSED), fact((1, 1), end_reason=FORCED)]
    return Golden(frames=frames, facts=facts)


@golden
def repeated_syn() -> Golden:
    """The same number again, after 1 s and 3 s: one flow, and no handshake time."""
    frames = [at(0, up("S", 1000)), at(1, up("S", 1000)), at(3, up("S", 1000)),
              at(3.02, down("SA", 5000, 1001)), at(3.03, up("A", 1001, 5001))]  # fmt: skip
    facts = [
        fact((4, 1), c2s_syn_packets=3, c2s_syn_retransmissions=2, c2s_retransmitted_packets=2,
             c2s_retransmitted_bytes=0, c2s_rtt_samples=0, s2c_rtt_samples=1)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def simultaneous_open() -> Golden:
    """Both sides send a SYN, and each answers the other's: one flow of who was first."""
    frames = [at(0, up("S", 1000)), at(0.001, down("S", 5000)),
              at(0.020, up("SA", 1000, 5001)), at(0.021, down("SA", 5000, 1001))]  # fmt: skip
    facts = [fact((2, 2), src_ip=CLIENT, c2s_syn_packets=2, s2c_syn_packets=2, end_reason=FORCED)]
    return Golden(frames=frames, facts=facts)


@golden
def syn_in_the_midst_of_a_flow_joined_late() -> Golden:
    """A SYN from a side that was seen without one: a new connection."""
    frames = [at(0, up("A", 50, 60, 10)), at(1, up("S", 1000))]
    facts = [fact((1, 0), end_reason=REUSED), fact((1, 0), c2s_syn_packets=1)]
    return Golden(frames=frames, facts=facts)


@golden
def time_runs_backwards() -> Golden:
    """The second packet is stamped 0.5 s before the first: it counts at the first one's time."""
    frames = [at(1, datagram(10)), at(0.5, datagram(20)), at(1.25, datagram(30))]
    facts = [fact((3, 0), duration_s=0.25, iat_min_ms=0, iat_max_ms=250, c2s_payload_bytes=60)]
    return Golden(frames=frames, facts=facts)


@golden
def flows_of_one_pair_of_hosts() -> Golden:
    """Ports and protocols tell them apart."""
    frames = [
        at(0, datagram(1)), at(0.1, datagram(1, sport=5001)),
        at(0.2, up("S", 1, sport=5000, dport=53)), at(0.3, datagram(1, back=True)),
    ]  # fmt: skip
    facts = [fact((1, 1)), fact((1, 0), src_port=5001), fact((1, 0), protocol=6, src_port=5000)]
    return Golden(frames=frames, facts=facts)


@golden
def a_host_talks_to_itself() -> Golden:
    """Both ends are the same: every packet is the initiator's."""
    packet = datagram(9, sport=53)
    packet.dst = packet.src
    frames = [at(0, packet), at(1, packet)]
    return Golden(frames=frames, facts=[fact((2, 0), src_port=53, dst_port=53, src_ip=CLIENT)])
