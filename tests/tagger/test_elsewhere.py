"""Captures made elsewhere, labelled by a journal that somebody wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from scapy.layers.inet import IP, TCP, UDP
from scapy.utils import wrpcap

from gsta.cli import cli
from tagger import LABELS, load_rules, read_elsewhere, rulebooks
from tagger.when import When
from tests.tagger.conftest import ALICE, BOB, OTHER, SERVER, T0_NS
from topologies.errors import InputError, NotFoundError

BEGIN = T0_NS // 10**9
WEB = {"begin": BEGIN, "end": BEGIN + 10, "label": "web", "malicious": False}
SCAN = {"begin": BEGIN, "end": BEGIN + 10.5, "kind": "scan", "success": False}


@pytest.fixture
def journal(tmp_path):
    """Write a journal."""

    def write(*lines: dict[str, Any] | str) -> Path:
        path = tmp_path / "my.jsonl"
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        path.write_text("".join(f"{text}\n" for text in texts))
        return path

    return write


def labels(journal: Path, flows: Path, **options: Any) -> dict[str, str]:
    table = read_elsewhere(journal, flows, **options).tag().labels
    return dict(zip(table["flow_id"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_lines_give_their_label_or_their_kinds_to_the_flows_they_speak_of(new_run, journal):
    run = new_run()
    web = run.flow(1, 2, sport=1000)
    scan = run.flow(1, 2, sport=1000, src=BOB, dport=81)
    beside = run.flow(1, 2, sport=1001, dport=80)
    late = run.flow(20, 21, sport=1000)
    run.write()
    path = journal(
        WEB | {"client": ALICE, "server": SERVER, "port": 443, "protocol": "tcp"},
        "",
        SCAN | {"client": "198.18.2.0/24", "server": ["198.18.10.0/24", "2001:db8::/32"]},
    )
    assert labels(path, run.table) == {
        web: "web",
        scan: "scan",
        beside: "unlabelled",
        late: "unlabelled",
    }
    report = read_elsewhere(path, run.table).tag()
    row = report.labels.to_pylist()[1]
    assert (row["activity_id"], row["effect"], row["malicious"]) == ("line-2", "attempted", True)
    assert (row["technique"], row["reason"]) == ("T1046", "line-2, scan by 198.18.2.1")
    assert report.summary().endswith("evidence: a capture made elsewhere comes without")


def test_whom_is_left_out_is_anybody_and_dates_have_zones(new_run, journal):
    run = new_run()
    flows = [run.flow(1, 2, sport=1000, dst=dst, dport=port) for dst, port in
             ((SERVER, 443), (OTHER, 53))]  # fmt: skip
    run.write()
    bot = WEB | {"begin": "2023-11-14T22:13:20Z", "end": "2023-11-14T23:13:30.5+01:00"}
    path = journal(bot | {"client": ALICE, "label": "bot", "malicious": True})
    assert labels(path, run.table) == dict.fromkeys(flows, "bot")


def test_rules_may_speak_of_a_journals_kinds(new_run, journal, tmp_path):
    rules = tmp_path / "r.yaml"
    rules.write_text(
        "name: mine\nlabels: {bad: {category: other, malicious: true}}\nrules:\n"
        "  - {id: one, when: {kind: backdoor, variant: v2}, label: bad, reason: '{user}'}\n"
    )
    run = new_run()
    one, two = run.flow(1, 2, sport=1000), run.flow(1, 2, sport=1000, src=BOB)
    run.write()
    line = {"begin": BEGIN, "end": BEGIN + 5, "kind": "backdoor"}
    path = journal(line | {"client": ALICE, "variant": "v2"}, line | {"client": BOB})
    assert labels(path, run.table, rules=rules) == {one: "bad", two: "unlabelled"}
    text = read_elsewhere(path, run.table, rules=rules).explain(one).text()
    assert "rule      one (priority 0): bad, by line-1 of 198.18.1.1" in text
    assert text.endswith("evidence  not seen (a capture made elsewhere comes without)")
    with pytest.raises(NotFoundError, match="expected a flow of this table"):
        read_elsewhere(path, run.table, rules=rules).explain("x")


def test_all_faults_of_a_journal_are_told_with_their_lines(new_run, journal):
    run = new_run().write()
    path = journal(
        "{",
        "[1]",
        {"begin": "yesterday", "end": BEGIN, "client": "alice", "lable": "x"},
        WEB | {"client": ALICE, "end": BEGIN - 1},
        {"begin": BEGIN, "end": BEGIN, "client": ALICE},
        {"begin": BEGIN, "end": BEGIN, "client": ALICE, "label": "x", "port": 0},
        {"begin": BEGIN, "end": BEGIN, "client": ALICE, "label": "x"},
    )
    with pytest.raises(InputError) as caught:
        read_elsewhere(path, run.table)
    problems = " ".join(str(p).replace(str(path), "") for p in caught.value.problems)
    assert problems == " ".join(FAULTS.split())


FAULTS = """
    :1: expected a JSON object, got another text (Expecting property name enclosed in double
    quotes: line 1 column 2 (char 1)); each line is one object, like {"begin": 1714557600, …}
    :2: expected a JSON object, got '[1]'; each line is one object, like
    {"begin": 1714557600, …}
    :3: begin: expected seconds since 1970, or a date and time with its zone, got 'yesterday';
    write for example 1714557600.25 or 2024-05-01T10:00:00.25Z
    :3: client: expected an address or a prefix, got 'alice'; write for example 192.0.2.0/24
    or 2001:db8::/32
    :3: lable: expected one of begin, client, end, id, kind, label, malicious, port, protocol,
    server, success, variant, got 'lable'; did you mean 'label'?
    :4: expected an end after the begin, got one 1 s before it; are the two the wrong way round?
    :5: expected a label or a kind, got neither; add one of them
    :6: port: expected a number of at least 1, got 0; choose a larger one
    :7: expected malicious: true or false, beside a label, got nothing; nothing is taken for
    benign unasked; add it
"""


def test_labels_that_contradict_each_other_and_kinds_that_nobody_knows_are_refused(
    new_run, journal
):
    run = new_run().write()
    line = WEB | {"client": ALICE}
    with pytest.raises(InputError, match="got 'web' both malicious and not; use two labels"):
        read_elsewhere(journal(line, line | {"malicious": True}), run.table)
    strange = {"begin": BEGIN, "end": BEGIN, "client": ALICE, "kind": "backdoor"}
    with pytest.raises(InputError, match=r"my\.jsonl:1: kind: expected a label, or a kind of"):
        read_elsewhere(journal(strange), run.table)
    with pytest.raises(InputError, match="expected at least one line, got an empty file"):
        read_elsewhere(journal(), run.table)
    with pytest.raises(NotFoundError, match="expected a journal, got no file"):
        read_elsewhere(Path("nowhere.jsonl"), run.table)


def test_a_capture_is_labelled_from_the_command_line(journal, tmp_path):
    first = BEGIN + 1
    packets = [
        IP(src=ALICE, dst=SERVER) / TCP(sport=1000, dport=443, flags="S"),
        IP(src=SERVER, dst=ALICE) / TCP(sport=443, dport=1000, flags="RA"),
        IP(src=ALICE, dst=OTHER) / UDP(sport=1001, dport=53) / b"x",
    ]
    for number, packet in enumerate(packets):
        packet.time = first + number / 10
    wrpcap(str(tmp_path / "my.pcap"), packets)
    path = journal(WEB | {"client": ALICE, "server": SERVER, "port": 443})
    run = ["tag", "--journal", str(path), str(tmp_path / "my.pcap")]
    done = CliRunner().invoke(cli, [*run, "--out", str(tmp_path / "l.csv"), "--format", "csv"])
    assert (done.exit_code, done.stdout) == (0, "label,flows\nweb,1\nunlabelled,1\nambiguous,0\n")
    table = pyarrow.csv.read_csv(tmp_path / "l.csv").to_pylist()
    assert {row["dst_port"]: row["label"] for row in table} == {443: "web", 53: "unlabelled"}
    chosen = next(row["flow_id"] for row in table if row["dst_port"] == 443)
    told = CliRunner().invoke(cli, [*run, "--explain", chosen])
    assert "decision  web: line-1, web by 198.18.1.1" in told.stdout
    both = CliRunner().invoke(cli, [*run, "--out", str(tmp_path / "l.parquet")])
    assert both.exit_code == 0
    assert pq.read_table(tmp_path / "l.parquet")["label"].to_pylist() == [
        row["label"] for row in table
    ]


def test_the_examples_of_the_documentation_work(new_run, tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "labels.md").read_text()
    path = tmp_path / "my.jsonl"
    path.write_text(text.partition("```json\n")[2].partition("```")[0])
    shift_s = 1_714_557_600 - BEGIN
    run = new_run()
    ends = {"src": "10.0.0.66", "dst": "10.0.0.9", "sport": 1000}
    web = run.flow(shift_s + 1, shift_s + 9, dport=80, **ends)
    guess = run.flow(shift_s + 61, shift_s + 62, dport=22, **ends)
    run.write()
    assert labels(path, run.table) == {web: "browsing", guess: "brute-force"}
    rules = tmp_path / "rules.yaml"
    rules.write_text(text.partition("```yaml\n")[2].partition("```")[0])
    assert [rule.id for rule in load_rules(rules).model.rules] == ["failed", "session"]
    assert all(f"`{name}`" in text for name in (*rulebooks(), *When.model_fields, *LABELS.names))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "give the flow table of the run"),
        (["--journal", "j", "a.pcap", "b"], "--journal takes one CAPTURE"),
    ],
)
def test_wrong_usage_is_told(arguments, message):
    done = CliRunner().invoke(cli, ["tag", *arguments])
    assert (done.exit_code, message in done.output) == (2, True)


def test_the_tolerances_are_options(busy_run):
    run = busy_run().write()
    usual = CliRunner().invoke(cli, ["tag", str(run.folder), str(run.table), "--format", "csv"])
    assert "web,5\n" in usual.stdout
    strict = ["--linger", "0", "--clock-tolerance", "60"]
    done = CliRunner().invoke(
        cli, ["tag", str(run.folder), str(run.table), "--format", "csv", *strict]
    )
    assert "unlabelled,0\n" in done.stdout
