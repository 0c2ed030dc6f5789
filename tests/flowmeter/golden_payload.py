"""Golden captures: payloads, sizes, times and first packets."""

from __future__ import annotations

import struct

from tests.flowmeter.golden_kit import Golden, at, datagram, down, fact, golden, opened, up

HELLO = bytes([22, 3, 1, 0, 104, 1, 0, 0, 100, 3, 3]) + bytes(98)
ANSWER = bytes([22, 3, 3, 0, 84, 2, 0, 0, 80, 3, 3]) + bytes(78)
APPLICATION = bytes([23, 3, 3, 0, 40]) + bytes(40)


@golden
def bursts() -> Golden:
    """Three of the client's (the third after 1.5 s of silence), one of the server's."""
    frames = [
        at(0, datagram(10)), at(0.1, datagram(20)), at(0.2, datagram(0)), at(0.3, datagram(30)),
        at(0.4, datagram(100, back=True)), at(0.5, datagram(5)), at(2.0, datagram(7)),
    ]  # fmt: skip
    facts = [
        fact((6, 1), c2s_bursts=3, c2s_burst_packets_mean=5 / 3, c2s_burst_packets_max=3,
             c2s_burst_bytes_mean=24, c2s_burst_bytes_max=60, s2c_bursts=1,
             s2c_burst_bytes_max=100)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def active_and_idle_periods() -> Golden:
    """Active 0-2 s and 12-13 s, then a lone packet at 33 s: two silences of 10 s and 20 s."""
    frames = [at(second, datagram(1)) for second in (0, 2, 12, 13, 33)]
    facts = [
        fact((5, 0), idle_periods=2, idle_min_s=10, idle_mean_s=15, idle_max_s=20, idle_std_s=5,
             active_min_s=0, active_mean_s=1, active_max_s=2)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def sizes_in_every_bin() -> Golden:
    """IP lengths 48, 100, 200, 400, 1000, 1200, 1500, 3000: eight bins, three bits."""
    sizes = (48, 100, 200, 400, 1000, 1200, 1500, 3000)
    frames = [at(number / 10, datagram(size - 28)) for number, size in enumerate(sizes)]
    facts = [fact((8, 0), c2s_size_entropy_bits=3, c2s_size_min_bytes=48, c2s_size_max_bytes=3000,
                  c2s_size_mean_bytes=931)]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def moments_of_sizes() -> Golden:
    """Lengths 100, 100, 100, 200: skewness 2/sqrt(3), excess kurtosis 7/3 - 3."""
    frames = [at(number, datagram(size - 28)) for number, size in enumerate((100, 100, 100, 200))]
    facts = [fact((4, 0), c2s_size_skewness=2 / 3**0.5, c2s_size_kurtosis=7 / 3 - 3)]
    return Golden(frames=frames, facts=facts)


@golden
def tls_handshake() -> Golden:
    """Hellos of 100 and 80 bytes, both of legacy version 0x0303; first data at 60 ms."""
    frames = [
        *opened(), at(0.020, up("PA", 1001, 5001, HELLO)),
        at(0.030, down("PA", 5001, 1001 + len(HELLO), ANSWER)),
        at(0.060, up("PA", 1001 + len(HELLO), 5001 + len(ANSWER), APPLICATION)),
    ]  # fmt: skip
    facts = [
        fact((4, 2), tls_client_version=0x303, tls_server_version=0x303, tls_client_hello_bytes=100,
             tls_server_hello_bytes=80, tls_first_data_ms=60)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def quic_handshake() -> Golden:
    """Two long headers of the client, one of the server, then a short one."""
    head = b"\xc3" + struct.pack(">I", 1) + b"\x08" + bytes(8) + b"\x00"
    frames = [
        at(0, datagram(head.ljust(1200, b"\0"), dport=443)),
        at(0.02, datagram(head.ljust(1252, b"\0"), dport=443, back=True)),
        at(0.03, datagram(head.ljust(60, b"\0"), dport=443)),
        at(0.04, datagram(b"\x43" + bytes(99), dport=443)),
    ]
    facts = [
        fact((3, 1), quic_version=1, c2s_quic_long_packets=2, s2c_quic_long_packets=1,
             c2s_quic_initial_bytes=1200, s2c_quic_initial_bytes=1252)
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def flags_one_by_one() -> Golden:
    frames = [at(number, up(flag, 1)) for number, flag in enumerate("APUEC")]
    facts = [
        fact((5, 0), c2s_ack_packets=1, c2s_psh_packets=1, c2s_urg_packets=1, c2s_ece_packets=1,
             c2s_cwr_packets=1, c2s_pure_ack_packets=1,
             seq_flags=[16, 8, 32, 64, 128] + 15 * [0])
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def first_packets_of_a_long_flow() -> Golden:
    """Three of five by option: sizes, directions, gaps and flags."""
    frames = [at(n / 100, datagram(n, back=n % 2 == 1)) for n in range(5)]
    facts = [
        fact((3, 2), seq_size_bytes=[28, 29, 30], seq_direction=[1, -1, 1],
             seq_iat_us=[0, 10000, 10000], seq_flags=[0, 0, 0])
    ]  # fmt: skip
    return Golden(frames=frames, facts=facts, config={"sequence": 3})
