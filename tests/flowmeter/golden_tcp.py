"""Golden captures: what sequence numbers, options and payloads tell."""

from __future__ import annotations

from tests.flowmeter.golden_kit import Frame, Golden, at, down, fact, golden, opened, up


def sampled() -> list[Frame]:
    """A handshake and one exchange: one RTT sample more of each side, 20 ms and 5 ms."""
    return [
        *opened(),
        at(0.100, up("A", 1001, 5001, 100)),
        at(0.120, down("A", 5001, 1101, 100)),
        at(0.125, up("A", 1101, 5101)),
    ]


@golden
def retransmitted_by_timeout() -> Golden:
    """Sent again 600 ms later, unacknowledged: above any RTO."""
    frames = [
        *sampled(), at(0.2, up("A", 1101, 5101, 200, ip_id=5)),
        at(0.8, up("A", 1101, 5101, 200, ip_id=6)), at(0.82, down("A", 5101, 1301)),
    ]  # fmt: skip
    facts = [
        fact((6, 3), c2s_retransmitted_packets=1, c2s_retransmitted_bytes=200,
             c2s_unique_payload_bytes=300, c2s_rto_retransmissions=1, c2s_rtt_samples=2,
             c2s_unneeded_rto_retransmissions=0)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def fast_retransmission() -> Golden:
    """The third segment is lost; three repetitions of the acknowledgement bring it back."""
    frames = [*sampled(), at(0.200, up("A", 1101, 5101, 100)), at(0.201, up("A", 1201, 5101, 100))]
    frames += [at(0.202 + 0.001 * number, up("A", 1301 + 100 * number, 5101, 100))
               for number in range(1, 4)]  # fmt: skip
    frames += [at(0.222 + 0.001 * number, down("A", 5101, 1301)) for number in range(4)]
    frames += [at(0.230, up("A", 1301, 5101, 100)), at(0.250, down("A", 5101, 1701))]
    # It was never seen: not a repetition in this capture, but it fills a hole, after four ACKs.
    facts = [
        fact((10, 7), c2s_fast_retransmissions=1, c2s_out_of_order_packets=1,
             c2s_retransmitted_packets=0, s2c_duplicate_acks=3)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def reordered() -> Golden:
    """Two segments in the wrong order, 0.1 ms apart: sooner than any round trip."""
    frames = [
        *sampled(), at(0.2, up("A", 1101, 5101, 100)), at(0.2302, up("A", 1301, 5101, 100)),
        at(0.2303, up("A", 1201, 5101, 100)), at(0.25, down("A", 5101, 1401)),
    ]  # fmt: skip
    facts = [
        fact((7, 3), c2s_reordered_packets=1, c2s_out_of_order_packets=1,
             c2s_retransmitted_packets=0, c2s_payload_bytes=400, c2s_unique_payload_bytes=400)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def duplicated_by_the_network() -> Golden:
    """The very same packet, IP identification included."""
    packet = up("A", 1101, 5101, 100, ip_id=9)
    frames = [*sampled(), at(0.2, packet), at(0.2001, packet)]
    facts = [fact((6, 2), c2s_duplicate_packets=1, c2s_retransmitted_packets=1)]
    return Golden(frames=frames, facts=facts)


@golden
def unneeded_retransmission() -> Golden:
    """Acknowledged already, and sent again after 600 ms."""
    frames = [
        *sampled(), at(0.2, up("A", 1101, 5101, 100, ip_id=5)), at(0.22, down("A", 5101, 1201)),
        at(0.8, up("A", 1101, 5101, 100, ip_id=6)),
    ]  # fmt: skip
    facts = [
        fact((6, 3), c2s_unneeded_rto_retransmissions=1, c2s_rto_retransmissions=0,
             c2s_retransmitted_packets=1, c2s_rtt_samples=3)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def window_probe() -> Golden:
    """The server's window is closed; the client sends one byte of what it sent before."""
    frames = [
        *sampled(), at(0.2, down("A", 5101, 1101, window=0)), at(0.7, up("A", 1100, 5101, 1)),
        at(0.71, down("A", 5101, 1101, window=0)), at(0.9, down("A", 5101, 1101, window=4000)),
    ]  # fmt: skip
    facts = [
        fact((5, 5), c2s_window_probes=1, c2s_retransmitted_packets=1, c2s_retransmitted_bytes=1,
             s2c_zero_window_packets=2, s2c_window_min_bytes=4000, s2c_window_max_bytes=65535,
             s2c_duplicate_acks=0)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def partly_repeated() -> Golden:
    """Bytes 1101-1200, then 1151-1300: 50 of its 150 again."""
    frames = [
        *sampled(), at(0.2, up("A", 1101, 5101, 100)), at(0.9, up("A", 1151, 5101, 150)),
        at(0.92, down("A", 5101, 1301)),
    ]  # fmt: skip
    facts = [fact((6, 3), c2s_retransmitted_packets=1, c2s_retransmitted_bytes=50,
                  c2s_unique_payload_bytes=300, c2s_out_of_order_packets=0)]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def numbers_wrap_around() -> Golden:
    """Data across sequence number 2^32, and its second half again."""
    isn = 2**32 - 101
    frames = [
        at(0, up("S", isn)), at(0.01, down("SA", 5000, isn + 1)), at(0.02, up("A", isn + 1, 5001)),
        at(0.03, up("A", isn + 1, 5001, 200)), at(0.05, down("A", 5001, isn + 201)),
        at(0.9, up("A", isn + 101, 5001, 100)), at(0.91, down("A", 5001, isn + 201)),
        at(1.0, up("FA", isn + 201, 5001)),
    ]  # fmt: skip
    facts = [
        fact((5, 3), c2s_retransmitted_bytes=100, c2s_unique_payload_bytes=200, c2s_rtt_samples=2,
             c2s_rtt_max_ms=20, c2s_rtt_min_ms=10)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def round_trips() -> Golden:
    """Samples of the client: 10 ms (SYN), 20 ms, 40 ms: an ACK of two samples the second."""
    frames = [
        *sampled(), at(0.200, up("A", 1101, 5101, 100)), at(0.210, up("A", 1201, 5101, 100)),
        at(0.250, down("A", 5101, 1301)),
    ]  # fmt: skip
    facts = [
        fact((6, 3), c2s_rtt_samples=3, c2s_rtt_min_ms=10, c2s_rtt_max_ms=40,
             c2s_rtt_mean_ms=70 / 3, s2c_rtt_samples=2, s2c_rtt_mean_ms=5)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def no_round_trip_when_something_was_sent_again() -> Golden:
    """The first of two segments comes again after the second: the ACK of both samples neither."""
    frames = [
        *sampled(), at(0.200, up("A", 1101, 5101, 100)), at(0.210, up("A", 1201, 5101, 100)),
        at(0.900, up("A", 1101, 5101, 100)), at(0.920, down("A", 5101, 1301)),
    ]  # fmt: skip
    return Golden(frames=frames, facts=[fact((7, 3), c2s_rtt_samples=2)])


@golden
def options_of_both_sides() -> Golden:
    """Client: everything; server: an MSS and scaling. Windows are scaled after the SYNs."""
    offer = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
    answer = [("MSS", 1400), ("NOP", None), ("WScale", 2)]
    frames = [
        at(0, up("S", 1000, window=64000, options=offer)),
        at(0.01, down("SA", 5000, 1001, window=60000, options=answer)),
        at(0.02, up("A", 1001, 5001, window=500)),
        at(0.03, down("A", 5001, 1001, window=1000)),
    ]
    facts = [
        fact((2, 2), c2s_mss_bytes=1460, s2c_mss_bytes=1400, c2s_window_scale=7,
             s2c_window_scale=2, c2s_sack_permitted=1, s2c_sack_permitted=0, c2s_timestamps=1,
             c2s_window_max_bytes=64000, c2s_window_min_bytes=64000, s2c_window_min_bytes=4000,
             c2s_initial_window_bytes=64000, c2s_fast_open=0)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def scaling_of_one_side_only() -> Golden:
    """Only the client offers it: nobody's windows are scaled."""
    frames = [
        at(0, up("S", 1000, options=[("WScale", 7), ("NOP", None)])),
        at(0.01, down("SA", 5000, 1001)), at(0.02, up("A", 1001, 5001, window=500)),
    ]  # fmt: skip
    facts = [fact((2, 1), c2s_window_min_bytes=500, c2s_window_max_bytes=65535)]
    return Golden(frames=frames, facts=facts)


@golden
def fast_open() -> Golden:
    """Data with the SYN, acknowledged with it: a whole handshake."""
    cookie = [("TFO", (1, 2))]
    frames = [
        at(0, up("S", 1000, 0, 50, options=cookie)), at(0.01, down("SA", 5000, 1051)),
        at(0.02, up("A", 1051, 5001)),
    ]  # fmt: skip
    facts = [
        fact((2, 1), c2s_fast_open=1, c2s_payload_bytes=50, c2s_unique_payload_bytes=50,
             handshake_rtt_ms=20, c2s_rtt_samples=1, c2s_cwin_initial_bytes=50)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def selective_acknowledgements() -> Golden:
    block = [("NOP", None), ("NOP", None), ("SAck", (1201, 1301))]
    frames = [
        *sampled(), at(0.2, up("A", 1201, 5101, 100)),
        at(0.21, down("A", 5101, 1101, options=block)),
        at(0.22, up("A", 1101, 5101, 100)), at(0.23, down("A", 5101, 1301)),
    ]  # fmt: skip
    facts = [fact((6, 4), s2c_sack_packets=1, c2s_out_of_order_packets=1, s2c_duplicate_acks=0)]
    return Golden(frames=frames, facts=facts)


@golden
def bytes_in_flight() -> Golden:
    """300 bytes before the first ACK of data, never more than 300 at once."""
    frames = [*opened()]
    frames += [at(0.02 + 0.001 * n, up("A", 1001 + 100 * n, 5001, 100)) for n in range(3)]
    frames += [at(0.05, down("A", 5001, 1201)), at(0.06, up("A", 1301, 5001, 100))]
    # In flight after each: 100, 200, 300, then 1401 - 1201 = 200.
    facts = [
        fact((6, 2), c2s_cwin_min_bytes=100, c2s_cwin_max_bytes=300, c2s_cwin_initial_bytes=300)
    ]
    return Golden(frames=frames, facts=facts)
