"""Sessions of different kinds that overlap on one host and port, told apart by their logs."""

from __future__ import annotations

import pytest

from tagger import tag_run
from tests.tagger.conftest import ALICE, OTHER, SERVER, connection, ns


def labels(run) -> dict[str, str]:
    run.write()
    table = tag_run(run.folder, run.table).labels
    return dict(zip(table["flow_id"].to_pylist(), table["label"].to_pylist(), strict=True))


@pytest.fixture
def overlap(new_run):
    """An SSH and a file session of one host with one server, at the same time."""
    run = new_run()
    ssh = run.activity("ssh", start_s=0, stop_s=10, port=22)
    copy = run.activity("transfer", start_s=0, stop_s=10, port=22, service_kind="ssh")
    return run, ssh, copy


def test_a_flow_is_of_the_session_whose_log_names_it(overlap):
    run, ssh, copy = overlap
    run.log(ssh, connection(1, 1000, 22))
    run.log(copy, connection(1, 1001, 22))
    typed, copied = (run.flow(1, 2, sport=sport, dport=22) for sport in (1000, 1001))
    assert labels(run) == {typed: "ssh", copied: "transfer"}


def test_a_session_that_names_all_its_connections_has_no_others(overlap):
    run, ssh, _ = overlap
    run.log(ssh, connection(1, 1000, 22))
    other = run.flow(1, 2, sport=1001, dport=22)
    assert labels(run) == {other: "transfer"}


def test_a_session_with_helpers_may_have_connections_that_it_does_not_name(overlap):
    run, ssh, _ = overlap
    run.log(ssh, connection(1, 1000, 22), {"event": "helper", "what": "program"})
    other = run.flow(1, 2, sport=1001, dport=22)
    assert labels(run) == {other: "ambiguous"}


def test_what_no_log_names_stays_ambiguous(overlap):
    run, ssh, copy = overlap
    run.log(ssh, connection(1, 1000, 22))
    run.log(copy, connection(1, 1002, 22))
    other = run.flow(1, 2, sport=1001, dport=22)
    assert labels(run) == {other: "ambiguous"}


def test_the_latest_session_that_names_a_port_has_it(overlap):
    run, ssh, copy = overlap
    run.log(ssh, connection(1, 1000, 22))
    run.log(copy, connection(5, 1000, 22))
    first, second = run.flow(1, 2, sport=1000, dport=22), run.flow(5, 6, sport=1000, dport=22)
    assert labels(run) == {first: "ssh", second: "transfer"}


def test_a_connection_that_took_long_to_be_made_began_when_it_was_asked_for(overlap):
    run, ssh, _ = overlap
    run.log(ssh, connection(4, 1000, 22, began_ns=connection(1, 0)["time_ns"]))
    slow = run.flow(1, 6, sport=1000, dport=22)
    assert labels(run) == {slow: "ssh"}


@pytest.mark.parametrize(
    "line",
    [
        {"event": "connection"},
        connection(1, 1000, 22, peer_port=None),
        connection(1, 1000, 22, protocol="sctp"),
        connection(1, 1000, 22, time_ns="yesterday"),
    ],
)
def test_lines_that_name_nothing_change_nothing(overlap, line):
    run, ssh, _ = overlap
    run.log(ssh, line, {"event": "helper"})
    flow = run.flow(1, 2, sport=1000, dport=22)
    with (run.folder / "logs" / "alice" / f"{ssh}-ssh.log").open("a") as log:
        log.write("Traceback: connection\n[1]\n")
    assert labels(run) == {flow: "ambiguous"}


# -- what raw sockets and tools do, and what servers do for a client ----------------------------

HELPER = {"event": "helper", "what": "program"}


def all_told(*protocols: str) -> dict[str, object]:
    return {"event": "all-told", "protocols": list(protocols)}


def test_who_tells_what_its_helpers_open_has_no_others(overlap):
    run, ssh, _ = overlap
    run.log(ssh, connection(1, 1000, 22), HELPER, all_told("tcp"))
    own, other = run.flow(1, 2, sport=1000, dport=22), run.flow(1, 2, sport=1001, dport=22)
    assert labels(run) == {own: "ssh", other: "transfer"}


def test_a_promise_about_tcp_says_nothing_of_udp(new_run):
    run = new_run()
    run.activity("dns", start_s=0, stop_s=10, port=53, protocol="udp")
    scan = run.activity("scan", start_s=0, stop_s=10, port=None, protocol="any")
    run.log(scan, all_told("tcp"))
    flow = run.flow(1, 2, sport=1000, dport=53, protocol=17)
    assert labels(run) == {flow: "ambiguous"}
    run.log(scan, all_told("udp"))
    assert labels(run) == {flow: "dns"}


def test_a_log_that_names_a_flow_outweighs_a_scan_that_fits_it(new_run):
    run = new_run()
    copy = run.activity("transfer", start_s=0, stop_s=10, port=22, service_kind="ssh")
    run.activity("scan", start_s=0, stop_s=10, port=None, protocol="any")
    run.log(copy, connection(1, 1000, 30_000))
    data = run.flow(1, 2, sport=1000, dport=30_000)
    assert labels(run) == {data: "transfer"}


def test_what_a_server_opens_is_of_no_scan_that_tells_all(new_run):
    run = new_run()
    run.activity("ssh", start_s=0, stop_s=10, port=22)
    scan = run.activity("scan", start_s=0, stop_s=10, port=None, protocol="any")
    back = run.flow(1, 2, src=SERVER, sport=22, dst=ALICE, dport=1000)
    assert labels(run) == {back: "ambiguous"}
    run.log(scan, all_told("tcp", "udp"))
    assert labels(run) == {back: "ssh"}


def test_what_a_server_does_for_a_client_is_of_whoever_asked_for_it(new_run):
    run = new_run()
    run.service(port=22)
    ssh = run.activity("ssh", start_s=0, stop_s=10, port=22)
    copy = run.activity("transfer", start_s=0, stop_s=10, port=22, service_kind="ssh")
    run.log(ssh, connection(1, 1000, 22))
    run.log(copy, connection(1, 1001, 22))
    asked = {"client_address": ALICE, "asked_address": SERVER, "asked_port": 22}
    opened = {"time_ns": ns(2.2), "began_ns": ns(2), "event": "connection", "protocol": "tcp"}
    ends = {"local_address": SERVER, "local_port": 20, "peer_address": ALICE}
    run.service_log(
        opened | asked | ends | {"client_port": 1000, "peer_port": 5000},
        opened | asked | ends | {"client_port": 1001, "peer_port": 5001},
        opened | asked | ends | {"client_port": None, "peer_port": 5002},
    )
    back = [run.flow(2, 3, src=SERVER, sport=20, dst=ALICE, dport=5000 + n) for n in range(3)]
    assert list(labels(run).values()) == ["ssh", "transfer", "unlabelled"], back


def test_a_sweep_by_ping_is_its_own_where_its_log_names_whom_it_asked(new_run):
    run = new_run()
    scan = run.activity("scan", start_s=0, stop_s=10, port=None, protocol="any")
    run.log(scan, connection(1, 0, 0, protocol="icmp", peer_address=OTHER))
    run.flow(1, 2, sport=0, dport=0, dst=OTHER, protocol=1)
    run.flow(1, 2, sport=0, dport=0, dst="198.18.10.77", protocol=1)
    run.write()
    report = tag_run(run.folder, run.table, rules="traffic-classes")
    assert report.labels["label"].to_pylist() == ["attack", "background"]
