from __future__ import annotations

import pytest

from tagger import explain, tag_run
from topologies.errors import InputError, NotFoundError
from topologies.files import write_text

BOB = "198.18.2.1"
SERVER, OTHER = "198.18.10.1", "198.18.10.2"


def rows(report) -> dict[str, dict]:
    return {row["flow_id"]: row for row in report.labels.to_pylist()}


def test_each_flow_gets_label_category_effect_activity_rule_and_reason(busy_run):
    run = busy_run().write()
    report = tag_run(run.folder, run.table)
    assert report.counts == {"web": 5, "ssh": 1, "scan": 1}
    assert (report.unlabelled, report.ambiguous, report.flows) == (1, 0, 8)
    table = rows(report)
    assert table["run-1-6"] == {
        "flow_id": "run-1-6",
        "label": "scan",
        "category": "attack",
        "malicious": True,
        "effect": "effective",
        "activity_id": "a0002",
        "origin": "real",
        "rule": "port-scan",
        "reason": "alice/scan/0 probed the ports of www's host (plain)",
        "oracle": "scan",
        "technique": "T1046",
        "child": None,
        "by_features": False,
    }
    assert table["run-1-0"]["effect"] is None
    assert table["run-1-7"] == {
        "flow_id": "run-1-7",
        "label": "unlabelled",
        "category": None,
        "malicious": None,
        "effect": None,
        "activity_id": None,
        "origin": None,
        "rule": None,
        "reason": "no activity had these endpoints at this time",
        "oracle": None,
        "technique": None,
        "child": None,
        "by_features": None,
    }


def test_the_rules_run_without_the_evidence_and_say_the_same(busy_run):
    run = busy_run().write()
    with_it = tag_run(run.folder, run.table)
    (run.folder / "evidence.jsonl").unlink()
    without = tag_run(run.folder, run.table)
    assert without.labels.drop_columns("oracle") == with_it.labels.drop_columns("oracle")
    assert set(without.labels["oracle"].to_pylist()) == {None}
    assert without.quality.note == "no evidence (conntrack by group id)"
    assert "label accuracy: not measured, no evidence" in without.summary()


def test_lying_evidence_changes_no_label_and_is_listed_as_disagreement(busy_run):
    run = busy_run().write()
    honest = tag_run(run.folder, run.table)
    run.evidence[0] = run.evidence[0].model_copy(update={"activity": "a0001"})
    run.write()
    report = tag_run(run.folder, run.table)
    assert report.labels.drop_columns("oracle") == honest.labels.drop_columns("oracle")
    assert (report.quality.overall.agreed, report.quality.overall.checked) == (6, 7)
    assert report.quality.classes["web"].agreed == 4
    assert report.quality.classes["ssh"].share == 1
    (wrong,) = report.quality.disagreements
    assert (wrong.flow_id, wrong.label, wrong.oracle) == ("run-1-0", "web", "ssh")
    assert (wrong.activity, wrong.owner) == ("a0000", "a0001")


def test_sessions_that_both_hold_a_flow_make_it_ambiguous_and_never_benign(new_run):
    run = new_run()
    run.activity("ssh", start_s=0, stop_s=10, port=22)
    run.activity("transfer", start_s=2, stop_s=8, port=22, service_kind="ssh")
    both = run.flow(3, 4, sport=1000, dport=22)
    early = run.flow(0.5, 4, sport=1002, dport=22)
    after = run.flow(10.5, 11, sport=1003, dport=22)
    run.write()
    report = tag_run(run.folder, run.table)
    table = rows(report)
    assert table[both]["label"] == "ambiguous"
    assert table[both]["malicious"] is None
    assert table[both]["category"] is None
    assert table[both]["activity_id"] is None
    assert table[both]["reason"] == (
        "these rules fit equally well and disagree: file-transfer, ssh-session"
    )
    assert (table[early]["label"], table[after]["label"]) == ("ssh", "unlabelled")


def test_a_tunnel_is_labelled_by_what_is_inside_too(new_run, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("""
name: tunnels
labels:
  hidden-mining: {category: cryptomining, malicious: true}
  proxy: {category: tunnel, malicious: false}
rules:
  - {id: mining-inside, priority: 1, when: {kind: proxy, inside: mining}, label: hidden-mining,
     reason: "{user} mined behind {service}"}
  - {id: any-inside, when: {kind: proxy}, label: proxy, reason: "{user} used {service}"}
""")
    run = new_run()
    carried = {"kind": "mining", "variant": "steady", "params": {}, "services": ("pool",)}
    run.activity("proxy", start_s=0, stop_s=10, port=8443, inside=carried)
    run.activity("proxy", start_s=20, stop_s=30, port=8443, inside=carried | {"kind": "web"})
    mined = run.flow(1, 2, sport=1000, dport=8443)
    browsed = run.flow(21, 22, sport=1001, dport=8443)
    run.write()
    table = rows(tag_run(run.folder, run.table, rules=rules))
    assert (table[mined]["label"], table[browsed]["label"]) == ("hidden-mining", "proxy")


def test_a_flow_that_outlives_a_session_is_not_of_that_session(new_run):
    run = new_run()
    run.activity("ssh", start_s=0, stop_s=20, port=22)
    run.activity("transfer", start_s=2, stop_s=8, port=22, service_kind="ssh")
    outlives = run.flow(3, 19, sport=1001, dport=22)
    run.write()
    assert rows(tag_run(run.folder, run.table))[outlives]["label"] == "ssh"


def test_of_equal_labels_the_activity_that_began_nearest_is_named(new_run):
    run = new_run()
    run.activity("web", start_s=0, stop_s=30)
    near = run.activity("web", start_s=9, stop_s=30)
    flow = run.flow(10, 11, sport=1000)
    run.write()
    row = rows(tag_run(run.folder, run.table))[flow]
    assert (row["label"], row["activity_id"]) == ("web", near)


@pytest.mark.parametrize(
    ("first_s", "last_s", "label"),
    [
        (0.96, 2, "web"),
        (0.94, 2, "unlabelled"),
        (5.04, 5.5, "web"),
        (5.06, 5.5, "unlabelled"),
        (4, 6.99, "web"),
        (4, 7.01, "web"),  # nobody else has it
    ],
)
def test_the_clock_tolerance_is_50_ms_and_the_linger_2_s(new_run, first_s, last_s, label):
    run = new_run()
    run.activity("web", start_s=1, stop_s=5)
    flow = run.flow(first_s, last_s, sport=1000)
    run.write()
    assert rows(tag_run(run.folder, run.table))[flow]["label"] == label


@pytest.mark.parametrize(
    "change",
    [{"src": BOB}, {"dst": OTHER}, {"dport": 80}, {"protocol": 17}],
    ids=["client", "server", "port", "protocol"],
)
def test_every_part_of_the_endpoints_must_fit(new_run, change):
    run = new_run()
    run.activity("web", start_s=0, stop_s=5)
    good = run.flow(1, 2, sport=1000)
    bad = run.flow(1, 2, sport=1000, **change)
    run.write()
    table = rows(tag_run(run.folder, run.table))
    assert (table[good]["label"], table[bad]["label"]) == ("web", "unlabelled")


def test_the_second_half_of_a_long_connection_may_begin_with_the_server(new_run):
    run = new_run()
    web = run.activity("web", start_s=0, stop_s=500)
    run.flow(1, 200, sport=1000, owner=web)
    half = run.flow(201, 400, src=SERVER, sport=443, dst="198.18.1.1", dport=1000)
    run.write()
    row = rows(tag_run(run.folder, run.table))[half]
    assert (row["label"], row["oracle"]) == ("web", "web")


def test_priority_role_port_and_protocol_conditions_decide(new_run, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        """
name: mine
labels: {plain: {category: web, malicious: false}, back: {category: web, malicious: false}}
rules:
  - {id: low, priority: 1, when: {kind: web}, label: plain, reason: low}
  - {id: high, priority: 2, when: {role: responder, ports: [443], protocol: tcp}, label: back,
     reason: "{activity} {kind} {variant} {name} {user} {host} {service} {{}}"}
"""
    )
    run = new_run()
    run.activity("web", start_s=0, stop_s=50)
    forth = run.flow(1, 2, sport=1000)
    back = run.flow(3, 4, src=SERVER, sport=443, dst="198.18.1.1", dport=1000)
    run.write()
    table = rows(tag_run(run.folder, run.table, rules=rules))
    assert (table[forth]["rule"], table[back]["rule"]) == ("low", "high")
    assert table[back]["reason"] == "a0000 web plain web alice/web/0 alice www {}"


def test_an_activity_that_no_rule_speaks_of_leaves_its_flows_unlabelled(new_run):
    run = new_run()
    game = run.activity("game", start_s=0, stop_s=5)
    flow = run.flow(1, 2, sport=1000, owner=game)
    run.write()
    row = rows(tag_run(run.folder, run.table))[flow]
    assert (row["label"], row["oracle"]) == ("unlabelled", "unlabelled")
    assert row["reason"] == "an activity fits, but no rule speaks of it"


def test_binary_rules_keep_flows_on_which_only_other_classes_disagree(new_run):
    run = new_run()
    run.activity("ssh", start_s=0, stop_s=10, port=22)
    run.activity("transfer", start_s=0, stop_s=10, port=22, service_kind="ssh")
    run.activity("mining", start_s=0, stop_s=10, port=3333, service_kind="pool")
    run.flow(3, 4, sport=1000, dport=22)
    run.flow(3, 4, sport=1000, dport=3333)
    run.write()
    assert tag_run(run.folder, run.table).ambiguous == 1
    assert tag_run(run.folder, run.table, rules="cryptomining").counts == {"mining": 1, "other": 1}


# -- several capture points ---------------------------------------------------------------------


def test_a_flow_seen_on_several_networks_counts_once_on_the_responders(new_run):
    run = new_run()
    run.activity("web", start_s=0, stop_s=9)
    run.activity("web", start_s=0, stop_s=9, address=BOB)
    run.flow(1.000, 2.000, sport=1000, network="lan-a")
    kept = run.flow(1.003, 2.002, sport=1000, network="servers")
    run.flow(1.002, 2.001, sport=1000, network="lan-b")
    only_client = run.flow(1, 2, sport=1001, network="lan-a")
    only_transit = run.flow(1, 2, sport=1001, network="lan-a", src=BOB)
    run.write()
    report = tag_run(run.folder, run.table)
    assert report.labels["flow_id"].to_pylist() == [kept, only_client, only_transit]
    assert report.duplicate_observations == 2
    assert report.kept.tolist() == [False, True, False, True, True]
    assert "2 seen on a second network, counted once" in report.summary()


def test_the_initiators_network_comes_before_any_other(new_run):
    run = new_run()
    run.activity("web", start_s=0, stop_s=9)
    run.flow(1, 2, sport=1000, network="lan-b")
    kept = run.flow(1, 2, sport=1000, network="lan-a")
    run.write()
    assert tag_run(run.folder, run.table).labels["flow_id"].to_pylist() == [kept]


def test_a_port_used_again_later_is_another_flow(new_run):
    run = new_run()
    run.activity("web", start_s=0, stop_s=90)
    run.flow(1, 2, sport=1000, network="lan-a")
    first = run.flow(1, 2, sport=1000, network="servers")
    later = run.flow(30, 31, sport=1000, network="lan-a")
    again = run.flow(31.5, 32, sport=1000, network="lan-a")
    run.write()
    assert tag_run(run.folder, run.table).labels["flow_id"].to_pylist() == [first, later, again]


# -- the oracle -----------------------------------------------------------------------------------


def test_the_oracle_follows_the_kernel_across_overlap_and_port_reuse(new_run):
    run = new_run()
    ssh = run.activity("ssh", start_s=0, stop_s=10, port=22)
    copy = run.activity("transfer", start_s=0, stop_s=10, port=22, service_kind="ssh")
    first = run.flow(1, 2, sport=1000, dport=22, owner=ssh, event_s=1.0004)
    second = run.flow(3, 4, sport=1000, dport=22, owner=copy, event_s=2.9996)
    run.write()
    report = tag_run(run.folder, run.table)
    table = rows(report)
    assert (table[first]["oracle"], table[second]["oracle"]) == ("ssh", "transfer")
    assert (report.quality.undecided, report.quality.overall.checked) == (2, 0)


def test_an_event_after_the_flow_or_of_a_dead_owner_proves_nothing(new_run):
    run = new_run()
    old = run.activity("web", start_s=0, stop_s=2)
    run.activity("web", start_s=20, stop_s=30)
    flow = run.flow(21, 22, sport=1000)
    run.flow(1, 1.5, sport=1000, owner=old)
    run.flow(40, 41, sport=1000, owner=old)
    run.write()
    report = tag_run(run.folder, run.table)
    assert rows(report)[flow]["oracle"] is None
    assert report.quality.unseen == 2


def test_a_flow_that_a_server_opened_by_itself_is_a_wrong_label_if_labelled(new_run):
    run = new_run()
    server = run.service()
    run.activity("web", start_s=0, stop_s=10)
    flow = run.flow(1, 2, sport=1000, owner=server)
    run.write()
    report = tag_run(run.folder, run.table)
    assert (rows(report)[flow]["label"], rows(report)[flow]["oracle"]) == ("web", "unlabelled")
    assert report.quality.overall.agreed == 0


# -- input --------------------------------------------------------------------------------------


def test_an_incomplete_run_is_refused_with_its_reason(busy_run):
    run = busy_run()
    run.status, run.reason = "incomplete", "the launcher was killed"
    run.write()
    with pytest.raises(
        InputError,
        match=r"manifest\.json: status: expected a complete run, "
        r"got an incomplete one \(the launcher was killed\); run the lab again",
    ):
        tag_run(run.folder, run.table)


def test_the_flow_table_of_another_run_is_refused(busy_run):
    one, two = busy_run("one").write(), busy_run("two").write()
    with pytest.raises(InputError, match="expected flows of run 'one', got flows of run 'two'"):
        tag_run(one.folder, two.table)


def test_what_is_no_flow_table_is_refused(busy_run, tmp_path):
    run = busy_run().write()
    with pytest.raises(NotFoundError, match="expected a flow table, got no file"):
        tag_run(run.folder, tmp_path / "none.parquet")
    write_text(tmp_path / "text.parquet", "not a table")
    with pytest.raises(InputError, match="expected a Parquet file"):
        tag_run(run.folder, tmp_path / "text.parquet")
    run.schema = run.schema.remove(run.schema.get_field_index("dst_port"))
    run.write()
    with pytest.raises(InputError, match="got a table without dst_port"):
        tag_run(run.folder, run.table)


def test_a_run_without_flows_has_no_labels(new_run):
    run = new_run()
    run.activity("web", start_s=0, stop_s=1)
    run.write()
    report = tag_run(run.folder, run.table)
    assert (report.flows, report.counts) == (0, {})


def test_a_session_that_ends_before_it_began_is_refused(new_run):
    run = new_run()
    run.activity("web", start_s=5, stop_s=4)
    run.write()
    with pytest.raises(InputError, match="a0000: expected a stop after the start"):
        tag_run(run.folder, run.table)


# -- explain --------------------------------------------------------------------------------------


def test_explain_shows_rules_activities_decision_and_evidence(new_run):
    run = new_run()
    ssh = run.activity("ssh", start_s=0, stop_s=10, port=22)
    run.activity("transfer", start_s=2, stop_s=8, port=22, service_kind="ssh")
    run.flow(3, 4, sport=1000, dport=22, network="lan-a")
    flow = run.flow(3, 4, sport=1000, dport=22, owner=ssh)
    run.write()
    found = explain(run.folder, run.table, flow)
    assert [(m.rule, m.label, m.activity) for m in found.matches] == [
        ("file-transfer", "transfer", "a0001"),
        ("ssh-session", "ssh", "a0000"),
    ]
    assert (found.label, found.owner, found.oracle, found.counts) == ("ambiguous", ssh, "ssh", True)
    assert found.text().splitlines() == [
        f"flow      {flow}: tcp 198.18.1.1:1000 -> 198.18.10.1:22 on servers, 1.000 s",
        (
            "rule      file-transfer (priority 0): transfer, by a0001 of alice/transfer/0 "
            "with www, begun 1.000 s before the flow"
        ),
        (
            "rule      ssh-session (priority 0): ssh, by a0000 of alice/ssh/0 with www, "
            "begun 3.000 s before the flow"
        ),
        (
            "nearly    name-lookup (dns), by a0001 (transfer) of alice/transfer/0 with www: "
            "its condition 'service_kind' does not hold"
        ),
        (
            "nearly    name-lookup (dns), by a0000 (ssh) of alice/ssh/0 with www: "
            "its condition 'service_kind' does not hold"
        ),
        (
            "decision  ambiguous: these rules fit equally well and disagree: "
            "file-transfer, ssh-session"
        ),
        "evidence  opened by a0000: ssh (conntrack by group id)",
    ]
    assert "counts" in explain(run.folder, run.table, "run-1-0").text()
    with pytest.raises(NotFoundError, match="expected a flow of this table, got 'x'"):
        explain(run.folder, run.table, "x")


@pytest.mark.parametrize(
    "line", ['{"time_ns": 1}', "not json", "[]", '{"time_ns": "x", "protocol": 6}']
)
def test_damaged_evidence_is_named_with_its_line(busy_run, line):
    run = busy_run().write()
    with (run.folder / "evidence.jsonl").open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(InputError, match=r"evidence\.jsonl:8: expected an evidence record"):
        tag_run(run.folder, run.table)


def test_empty_evidence_is_no_evidence(busy_run):
    run = busy_run()
    run.evidence.clear()
    run.write()
    assert tag_run(run.folder, run.table).quality.note.startswith("no evidence")


def test_labels_say_whose_traffic_it_is_and_rules_may_ask(new_run, tmp_path):
    run = new_run("run-1")
    run.activity("inject", start_s=1, stop_s=9, port=102, origin="synthetic")
    run.activity("replay", start_s=1, stop_s=9, port=103, origin="replayed")
    run.activity("web", start_s=1, stop_s=9, port=443)
    for port in (102, 103, 443):
        run.flow(2, 3, sport=40_000, dport=port)
    rules = tmp_path / "origins.yaml"
    rules.write_text(
        "name: origins\n"
        "labels:\n"
        "  made: {category: other, malicious: false}\n"
        "  honest: {category: other, malicious: false}\n"
        "rules:\n"
        "  - {id: one, when: {origin: [synthetic, replayed]}, label: made, reason: made}\n"
        "  - {id: two, when: {origin: real}, label: honest, reason: honest}\n"
    )
    made = run.write()
    found = tag_run(made.folder, made.table, rules=rules).labels.to_pylist()
    assert [(row["label"], row["origin"]) for row in found] == [
        ("made", "synthetic"),
        ("made", "replayed"),
        ("honest", "real"),
    ]
