"""Sessions of different kinds that overlap on one host and port, told apart by their logs."""

from __future__ import annotations

import pytest

from tagger import tag_run
from tests.tagger.conftest import connection


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
        connection(1, 1000, 22, protocol="icmp"),
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
