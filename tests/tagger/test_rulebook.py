from __future__ import annotations

from pathlib import Path

import pytest

from launcher.activities import catalogue
from tagger import load_rules, rulebooks
from tagger.catalogue_rules import label_sets, rule_file
from tagger.rulebook import RULES
from topologies.errors import InputError, NotFoundError

HEAD = """\
name: mine
labels:
  web: {category: web, malicious: false}
rules:
"""
RULE = """\
  - id: one
    when: {kind: web}
    label: web
    reason: "{user} browsed"
"""


def faults(folder: Path, text: str) -> list[str]:
    path = folder / "rules.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_rules(path)
    return [str(problem).replace(str(path), "rules.yaml") for problem in caught.value.problems]


SETS = tuple(label_sets())


def test_the_rule_files_that_ship_load():
    assert rulebooks() == (*SETS[:-1], "traffic", "traffic-classes")
    traffic = load_rules().model
    kinds = {kind for rule in traffic.rules for kind in rule.when.kind or ()}
    assert kinds == {"web", "video", "transfer", "ssh", "dns", "mail", "mining", "scan"}
    assert {rule.label for rule in traffic.rules} == set(traffic.labels)
    assert {label for label, value in traffic.labels.items() if value.malicious} == {
        "mining",
        "scan",
    }


def test_the_label_of_the_networks_own_traffic_must_be_one(tmp_path):
    (problem,) = faults(tmp_path, HEAD + RULE + "network: noise\n")
    assert problem.startswith("rules.yaml:9: network: expected one of web, got 'noise'")


@pytest.mark.parametrize("name", SETS)
def test_the_label_sets_of_the_catalogue_are_current_and_speak_of_every_kind_once(name):
    assert (RULES / f"{name}.yaml").read_text() == rule_file(name), (
        "python -m tagger.catalogue_rules"
    )
    rules = [rule for rule in load_rules(name).model.rules if rule.priority == 0]
    kinds = [kind for rule in rules for kind in rule.when.kind or ()]
    assert sorted(kinds) == sorted(catalogue())


@pytest.mark.parametrize("name", sorted({"cryptomining"} ^ set(SETS)))
def test_a_label_is_malicious_where_its_kinds_are(name):
    book = load_rules(name).model
    for rule in book.rules:
        for kind in rule.when.kind or ():
            assert book.labels[rule.label].malicious == catalogue()[kind].malicious


def test_techniques_are_those_of_the_catalogue():
    said = {label.description for label in load_rules("techniques").model.labels.values()}
    known = {kind.attack_technique for kind in catalogue().values()} - {None}
    assert said == {f"ATT&CK {name}" for name in known} | {"no technique of ATT&CK"}


def test_one_value_and_a_list_of_it_mean_the_same(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(HEAD + RULE.replace("{kind: web}", "{kind: [web], ports: 443}"))
    when = load_rules(path).model.rules[0].when
    assert (when.kind, when.ports) == (("web",), (443,))


def test_wrong_keys_and_values_are_named_with_their_line(tmp_path):
    text = HEAD + RULE.replace("kind: web", "kinds: web, ports: [0], role: client")
    assert faults(tmp_path, text) == [
        (
            "rules.yaml:6: rules[0].when.kinds: expected one of activity_log, after_s, before_s, "
            "child, client, features, flow_log, host, inside, kind, name, origin, outcome, phase, "
            "ports, protocol, role, server, service, service_host, service_kind, variant, "
            "got 'kinds'; did you mean 'kind'?"
        ),
        (
            "rules.yaml:6: rules[0].when.ports[0]: expected a number of at least 1, got 0; "
            "choose a larger one"
        ),
        (
            "rules.yaml:6: rules[0].when.role: expected 'initiator', 'responder' or 'any', "
            "got 'client'; choose one of them"
        ),
    ]


def test_a_file_without_rules_or_conditions_without_values_say_so(tmp_path):
    problem = "expected at least one, got an empty list; add to it"
    assert faults(tmp_path, HEAD.replace("rules:", "rules: []")) == [
        f"rules.yaml:4: rules: {problem}"
    ]
    assert faults(tmp_path, HEAD + RULE.replace("kind: web", "kind: []")) == [
        f"rules.yaml:6: rules[0].when.kind: {problem}"
    ]


def test_unknown_labels_and_ids_given_twice_are_all_reported(tmp_path):
    text = HEAD + RULE + RULE.replace("label: web", "label: wep") + RULE
    again = "expected each rule id once, got 'one' again; rename one of the two"
    assert faults(tmp_path, text) == [
        f"rules.yaml:9: rules[1].id: {again}",
        (
            "rules.yaml:11: rules[1].label: expected one of web, got 'wep'; "
            "use a label of the list, or add it under labels:"
        ),
        f"rules.yaml:13: rules[2].id: {again}",
    ]


@pytest.mark.parametrize(
    ("reason", "got"),
    [
        ("{user.__class__}", "'{user.__class__}'"),
        ("{user!r}", "'{user}'"),
        ("{user:>99999999}", "'{user}'"),
        ("{password}", "'{password}'"),
        ("{}", "'{}'"),
        ("{user", "expected '}' before end of string"),
    ],
)
def test_reasons_hold_plain_placeholders_only(tmp_path, reason, got):
    assert faults(tmp_path, HEAD + RULE.replace("{user} browsed", reason)) == [
        (
            "rules.yaml:8: rules[0].reason: expected text with the placeholders {activity}, "
            f"{{kind}}, {{variant}}, {{name}}, {{user}}, {{host}}, {{service}} only, got {got}; "
            "a literal brace is written {{ or }}"
        )
    ]


def test_the_words_for_undecided_flows_cannot_be_labels(tmp_path):
    text = (
        (HEAD + RULE)
        .replace("web: {category", "ambiguous: {category")
        .replace("label: web", "label: ambiguous")
    )
    assert faults(tmp_path, text) == [
        (
            "rules.yaml:3: labels.ambiguous: expected a label of your own, got 'ambiguous'; "
            "this word is kept for flows that no rule decides; rename the label"
        )
    ]


def test_labels_are_lower_case_words(tmp_path):
    problems = faults(tmp_path, (HEAD + RULE).replace("  web: {cat", "  Web : {cat"))
    assert len(problems) == 1
    assert problems[0].startswith("rules.yaml:3: labels.Web: expected")


def test_a_name_that_ships_nowhere_lists_those_that_do():
    with pytest.raises(NotFoundError, match="these ship: activities, applications, categories"):
        load_rules("trafic")
