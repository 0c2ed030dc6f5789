"""What rules can ask, each condition on a run where it makes the difference."""

from __future__ import annotations

import pytest

from tagger import tag_run
from tests.tagger.conftest import ALICE, BOB, OTHER, SERVER, ns
from topologies.errors import InputError

RULES = """
name: mine
labels: {{yes: {{category: web, malicious: false}}, no: {{category: web, malicious: false}}}}
rules:
  - {{id: special, priority: 1, when: {when}, label: "yes", reason: special}}
  - {{id: rest, when: {{role: any}}, label: "no", reason: rest}}
""".replace("yes:", "'yes':").replace("no:", "'no':")


@pytest.fixture
def labelled(tmp_path):
    """Labels by flow, of a run under one special condition."""

    def label(run, when: str) -> dict[str, str]:
        rules = tmp_path / "rules.yaml"
        rules.write_text(RULES.format(when=when))
        run.write()
        table = tag_run(run.folder, run.table, rules=rules).labels
        return dict(zip(table["flow_id"].to_pylist(), table["label"].to_pylist(), strict=True))

    return label


@pytest.mark.parametrize(
    "when",
    [
        "{client: 198.18.2.0/24}",
        "{client: [2001:2::/48, 198.18.2.1]}",
        "{server: 198.18.10.2/32}",
        "{service_host: backup}",
        "{after_s: 20}",
        "{phase: peak}",
        "{after_s: 20, before_s: 31}",
        "{protocol: [udp, icmp]}",
        "{features: {c2s_packets: {at_least: 4, at_most: 4}}}",
        "{activity_log: {event: login, method: [key, token]}}",
        "{activity_log: {ok: true}}",
        "{flow_log: {event: auth, ok: true}}",
    ],
)
def test_a_condition_tells_two_flows_apart(new_run, labelled, when):
    run = new_run()
    run.phase("steady", 0, 25)
    run.phase("peak", 25, 60)
    run.service()
    plain = run.activity("web", start_s=0, stop_s=10)
    special = run.activity("web", start_s=30, stop_s=40, address=BOB, server=OTHER, protocol="udp")
    record = run.records[-1]
    peer = record.peers[0].model_copy(update={"host": "backup"})
    run.records[-1] = record.model_copy(update={"peers": (peer,)})
    run.log(plain, {"event": "login", "method": "password"}, {"event": "login", "ok": 1})
    run.log(special, {"event": "login", "method": "key", "ok": True})
    auth = {"event": "auth", "peer_address": BOB, "local_address": OTHER, "local_port": 443}
    run.service_log(
        {"time_ns": ns(30.5), **auth, "peer_port": 1001, "ok": True},
        {"time_ns": ns(30.5), **auth, "peer_port": 1001},
        {"time_ns": ns(30.5), **auth, "peer_port": None, "ok": True},
        {"time_ns": ns(1.5), **auth, "peer_address": ALICE, "peer_port": 1000, "ok": False},
        {"time_ns": ns(50), **auth, "peer_address": ALICE, "peer_port": 1000, "ok": True},
    )
    usual = run.flow(1, 2, sport=1000)
    other = run.flow(30.2, 31, sport=1001, src=BOB, dst=OTHER, protocol=17)
    assert labelled(run, when) == {usual: "no", other: "yes"}


def test_labels_that_depend_on_features_are_marked_and_counted(new_run, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES.format(when="{features: {c2s_packets: {at_least: 4}}}"))
    run = new_run()
    run.activity("web", start_s=0, stop_s=10)
    run.flow(1, 2, sport=1000)
    run.flow(1, 2, sport=1001)
    run.write()
    report = tag_run(run.folder, run.table, rules=rules)
    assert report.labels["by_features"].to_pylist() == [False, True]
    assert "by flow features: 1 labels" in report.summary()
    rules.write_text(RULES.format(when="{features: {velocity: {at_least: 4}}}"))
    with pytest.raises(InputError, match="got a table without velocity; `gsta meter --list"):
        tag_run(run.folder, run.table, rules=rules)


# -- what an activity causes ------------------------------------------------------------------


def test_what_an_activity_causes_is_its_and_marked(new_run):
    run = new_run()
    for kind, port, protocol in (("dns", 53, "udp"), ("ntp", 123, "udp"), ("ocsp", 80, "tcp")):
        run.service(kind=kind, address=OTHER, port=port, protocol=protocol)
    web = run.activity("web", start_s=0, stop_s=10)
    own = run.flow(1, 2, sport=1000)
    asked = run.flow(1, 1, sport=1001, dst=OTHER, dport=53, protocol=17)
    timed = run.flow(1, 1, sport=1001, dst=OTHER, dport=123, protocol=17)
    checked = run.flow(1, 1, sport=1001, dst=OTHER, dport=80)
    refused = run.flow(1, 1, sport=0, dport=0, src=SERVER, dst=ALICE, protocol=1)
    late = run.flow(50, 50, sport=1001, dst=OTHER, dport=53, protocol=17)
    run.write()
    table = {
        row["flow_id"]: (row["activity_id"], row["child"])
        for row in tag_run(run.folder, run.table, rules="activities").labels.to_pylist()
    }
    assert table == {
        own: (web, None),
        asked: (web, "dns"),
        timed: (web, "ntp"),
        checked: (web, "ocsp"),
        refused: (web, "icmp"),
        late: (None, None),
    }


def test_doing_comes_before_causing_and_rules_may_ask_for_either(new_run, labelled):
    run = new_run()
    run.service(kind="dns", port=53, protocol="udp")
    run.activity("web", start_s=0, stop_s=10)
    caused = run.flow(1, 1, sport=1001, dport=53, protocol=17)
    assert labelled(run, "{child: dns}") == {caused: "yes"}
    run.activity("dns", start_s=0, stop_s=10, port=53, protocol="udp")
    assert labelled(run, "{kind: dns}") == {caused: "yes"}
    assert labelled(run, "{child: [dns, icmp]}") == {caused: "no"}


def test_pings_of_an_activity_that_is_named_for_them_are_its_doing(new_run):
    run = new_run()
    run.activity("exfiltrate", start_s=0, stop_s=10, port=53, protocol="any", variant="icmp-slow")
    run.flow(1, 1, sport=0, dport=0, protocol=1)
    run.write()
    (row,) = tag_run(run.folder, run.table, rules="activities").labels.to_pylist()
    assert (row["label"], row["child"]) == ("exfiltrate", None)


def test_the_networks_own_traffic_is_left_out_unless_a_rulebook_names_it(new_run):
    run = new_run()
    run.activity("ssh", start_s=0, stop_s=9, port=22)
    run.activity("transfer", start_s=0, stop_s=9, port=22, service_kind="ssh")
    run.flow(1, 2, sport=0, dport=0, src="fe80::1", dst="ff02::1:ff00:2", protocol=58)
    run.flow(1, 2, sport=0, dport=0, src=SERVER, dst=ALICE, protocol=1)
    lost = run.flow(20, 21, sport=1000, dport=22)
    run.write()
    report = tag_run(run.folder, run.table)
    assert (report.unlabelled, report.ambiguous, report.network, report.flows) == (1, 0, 2, 1)
    assert report.kept.tolist() == [False, False, True]
    assert report.labels["flow_id"].to_pylist() == [lost]
    assert report.summary().endswith("left out: 2 flows of the network itself (neighbours, errors)")
    named = tag_run(run.folder, run.table, rules="traffic-classes")
    assert named.labels["label"].to_pylist() == ["background", "background", "unlabelled"]
    assert (named.network, named.flows, named.counts) == (0, 3, {"background": 2})


def test_routing_is_the_networks_own_also_where_a_daemon_of_the_lab_does_it(new_run):
    run = new_run()
    daemon = run.service(kind="routing")
    run.flow(1, 2, sport=0, dport=0, src=SERVER, dst="224.0.0.5", protocol=89, owner=daemon)
    run.write()
    assert tag_run(run.folder, run.table).network == 1
    named = tag_run(run.folder, run.table, rules="traffic-classes")
    assert named.labels.select(["label", "oracle"]).to_pylist() == [
        {"label": "background", "oracle": "background"}
    ]


def test_arp_spoofing_has_no_share_in_the_flows_of_others(new_run):
    run = new_run()
    run.activity("dns", start_s=0, stop_s=9, port=53, protocol="udp")
    run.activity("arp-spoof", start_s=0, stop_s=9, port=None, protocol="any")
    run.flow(1, 2, sport=1000, dport=53, protocol=17)
    run.write()
    report = tag_run(run.folder, run.table, rules="traffic-classes")
    assert report.labels["label"].to_pylist() == ["background"]


@pytest.mark.parametrize(("carried", "label"), [("web", "web"), ("mining", "cryptomining")])
def test_what_a_tunnels_far_end_opens_has_the_label_of_what_is_inside(new_run, carried, label):
    run = new_run()
    gate = run.service(kind="proxy", port=1080)
    run.service(kind="pool", address=OTHER, port=3333)
    inside = {"kind": carried, "variant": "plain", "params": {}, "services": ("pool",)}
    peer = {"service": "proxy", "kind": "proxy", "host": "server", "address": SERVER}
    run.activity(
        "proxy",
        start_s=0,
        stop_s=9,
        inside=inside,
        peers=(peer | {"port": 1080, "protocol": "tcp"},),
    )
    run.flow(1, 2, sport=1000, dport=1080)
    run.flow(1, 2, src=SERVER, sport=1001, dst=OTHER, dport=3333, owner=gate)
    run.flow(20, 21, src=SERVER, sport=1002, dst=OTHER, dport=3333, owner=gate)
    run.write()
    labels = tag_run(run.folder, run.table, rules="traffic-classes").labels
    assert labels["label"].to_pylist() == ["tunnel", label, "unlabelled"]
    assert labels["oracle"].to_pylist() == [None, label, "unlabelled"]
    assert labels["child"].to_pylist() == [None, "relayed", None]


def test_mining_in_a_tunnel_is_mining_and_what_a_miner_asks_is_not(new_run):
    run = new_run()
    run.service(kind="dns", address=OTHER, port=53, protocol="udp")
    carried = {"kind": "mining", "variant": "steady", "params": {}, "services": ("pool",)}
    run.activity("wireguard", start_s=0, stop_s=9, port=51820, protocol="udp", inside=carried)
    run.activity("mining", start_s=20, stop_s=29, port=3333)
    flows = [
        run.flow(1, 2, sport=1000, dport=51820, protocol=17),
        run.flow(21, 22, sport=1000, dport=3333),
        run.flow(21, 21, sport=1001, dst=OTHER, dport=53, protocol=17),
    ]
    run.write()
    table = tag_run(run.folder, run.table, rules="cryptomining").labels
    labels = dict(zip(table["flow_id"].to_pylist(), table["label"].to_pylist(), strict=True))
    assert [labels[flow] for flow in flows] == ["mining", "mining", "other"]
    classes = tag_run(run.folder, run.table, rules="traffic-classes").labels
    assert classes["label"].to_pylist() == ["tunnel", "cryptomining", "background"]


# -- time -------------------------------------------------------------------------------------


def test_a_flow_that_spans_two_activities_is_dropped_and_counted(new_run):
    run = new_run()
    run.activity("web", start_s=0, stop_s=10)
    run.activity("mining", start_s=14, stop_s=20)
    spanning = run.flow(5, 15, sport=1000)
    over = run.flow(5, 13, sport=1001)
    run.write()
    report = tag_run(run.folder, run.table)
    reasons = dict(
        zip(report.labels["flow_id"].to_pylist(), report.labels["reason"].to_pylist(), strict=True)
    )
    assert reasons == {
        spanning: "it begins in one activity and ends in another, and so is of neither",
        over: "alice/web/0 browsed service www (plain)",
    }
    assert (report.unlabelled, report.spanning) == (1, 1)
    assert "dropped: 1 flows span two activities" in report.summary()


def test_a_flow_that_goes_on_into_an_activity_of_the_same_label_has_it(new_run):
    run = new_run()
    first = run.activity("web", start_s=0, stop_s=10)
    run.activity("web", start_s=14, stop_s=20)
    run.flow(5, 15, sport=1000, protocol=6)
    run.write()
    report = tag_run(run.folder, run.table)
    assert report.labels["activity_id"].to_pylist() == [first]
    assert (report.counts, report.spanning) == ({"web": 1}, 0)


# -- effect -----------------------------------------------------------------------------------


def test_an_attacks_flows_are_effective_attempted_or_artefacts(new_run):
    run = new_run()
    run.service(kind="dns", address=OTHER, port=53, protocol="udp")
    good, bad = ({"event": "effect", "success": success} for success in (True, False))
    run.activity("guess-ssh", start_s=0, stop_s=10, port=22, service_kind="ssh", effect=good)
    run.activity("guess-ssh", start_s=20, stop_s=30, port=22, service_kind="ssh", effect=bad)
    run.activity("scan", start_s=40, stop_s=50, port=None, protocol="any", effect=good)
    run.activity("ssh", start_s=60, stop_s=70, port=22)
    flows = {
        run.flow(1, 2, sport=1000, dport=22): "effective",
        run.flow(1, 2, sport=1001, dport=22, payload=0): "artefact",
        run.flow(1, 1, sport=1002, dst=OTHER, dport=53, protocol=17): "artefact",
        run.flow(21, 22, sport=1003, dport=22): "attempted",
        run.flow(41, 41, sport=1004, dport=81, payload=0): "effective",
        run.flow(61, 61, sport=1005, dport=22, payload=0): None,
    }
    run.write()
    table = tag_run(run.folder, run.table, rules="activities").labels.to_pylist()
    assert {row["flow_id"]: row["effect"] for row in table} == flows
    assert [row["technique"] for row in table[3:]] == ["T1110.001", "T1046", None]
