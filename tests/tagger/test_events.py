"""Events of application logs, labelled by the rules that label flows."""

from __future__ import annotations

import pyarrow.parquet as pq
from click.testing import CliRunner

from gsta.cli import cli
from tagger import EVENT_LABELS, tag_events
from tests.tagger.conftest import ALICE, SERVER, connection, ns


def test_events_are_of_their_activity_or_of_the_connection_they_name(new_run, tmp_path):
    run = new_run()
    run.service()
    ssh = run.activity("ssh", start_s=0, stop_s=9, port=443)
    web = run.activity("web", start_s=0, stop_s=9)
    run.log(ssh, {"time_ns": ns(1), "event": "login", "method": "key"})
    run.log(web, connection(2, 1000), {"event": "page"}, {"time_ns": ns(2), "event": "effect"})
    ends = {"peer_address": ALICE, "local_address": SERVER, "local_port": 443}
    run.service_log(
        {"time_ns": ns(2.5), "event": "request", "peer_port": 1000, **ends},
        {"time_ns": ns(2.5), "event": "request", "peer_port": 1001, **ends},
        {"time_ns": ns(50), "event": "request", "peer_port": 1000, **ends},
        {"time_ns": ns(0), "event": "ready", "ports": [443]},
    )
    with (run.folder / "logs" / "server" / "service-www.log").open("a") as log:
        log.write("Traceback (most recent call last):\n[]\n")
    run.write()
    report, table = tag_events(run.folder, rules="activities")
    assert table.schema == EVENT_LABELS
    assert [(row["event_id"], row["label"], row["activity_id"]) for row in table.to_pylist()] == [
        ("alice/a0001-ssh.log:1", "ssh", ssh),
        ("server/service-www.log:1", "web", web),
        ("server/service-www.log:2", "ssh", ssh),
        ("server/service-www.log:3", "unlabelled", None),
        ("server/service-www.log:4", "unlabelled", None),
    ]
    assert report.counts == {"ssh": 2, "web": 1}
    out = tmp_path / "events.parquet"
    command = ["tag", str(run.folder), "--events", "--rules", "activities", "--format", "csv"]
    done = CliRunner().invoke(cli, [*command, "--out", str(out)])
    assert done.stdout == "label,events\nssh,2\nweb,1\nunlabelled,2\nambiguous,0\n"
    assert pq.read_table(out).to_pylist() == table.to_pylist()


def test_a_run_without_logs_has_no_events(new_run):
    run = new_run().write()
    report, table = tag_events(run.folder)
    assert (len(table), report.counts) == (0, {})
