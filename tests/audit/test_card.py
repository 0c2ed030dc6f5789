"""The card's page and text: everything is told, drawn inside its picture, and from nowhere else."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from audit.card import charts, write_card
from audit.card.facts import gather
from audit.card.svg import CHARACTER_PX, said, ticks
from audit.card.timeline import timelines
from audit.card.tree import leaves
from audit.dataset import load_dataset
from audit.result import CheckResult
from tagger import load_summary
from tagger.summary import topology_file
from topologies.files import sha256_file, write_json, write_text

SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)
TOPOLOGY = """
name: small
networks: {lan: {subnet: 198.18.1.0/24}, servers: {subnet: 198.18.10.0/24}}
routers: {core: {networks: [lan, servers]}}
hosts: {alice: {networks: [lan]}, server: {networks: [servers]}}
services: {www: {kind: web, host: server}}
activities: {surf: {kind: web, hosts: [alice], services: [www]}}
phases: [{name: all, duration_s: 10}]
"""


def result(id_, **values):
    return CheckResult.model_validate(
        {"id": id_, "severity": "B", "title": f"what {id_} measures", "value": 0.25,
         "threshold": 0.5, "verdict": "pass", "evidence": (f"seen by {id_}",),
         "remedy": f"mend what {id_} found"} | values
    )  # fmt: skip


CHECKS = (
    result("A1"),
    result(
        "C2",
        verdict="fail",
        value=0.75,
        changes=[
            {
                "document": "topology",
                "name": "small",
                "at": "activities.surf.arrival.mean_s",
                "old": 20,
                "new": 40,
                "check": "C2",
                "because": "sessions overlap",
            },
            {
                "document": "spec",
                "name": "mine",
                "at": "rules",
                "old": "traffic",
                "new": "own",
                "check": "C2",
                "because": "they say less",
                "decide": True,
            },
        ],
    ),
    result("C4", verdict="fail", no_change="a program goes on"),
    result("D2", verdict="fail", severity="W", accepted="ports are <b>the</b> | task"),
    result("D3", allowed={"web/c2s_ttl_min": "one stack | for all"}),
    result("F7", verdict="not_applicable", value=None, evidence=()),
)


@pytest.fixture
def dataset(new_dataset):
    """A dataset in which one feature gives the scans away."""
    made = new_dataset()
    for rows in made.rows.values():
        del rows[120::2]
        for number, row in enumerate(rows):
            row["activity_id"] = f"a{number % 40}"
            if row["label"] == "scan":
                row["c2s_packets"] = 1
            else:
                row["c2s_packets"] += 1
    return made


def written(folder, checks=CHECKS, *, released=False):
    data = load_dataset(folder)
    digests = write_card(folder, data, checks, released=released)
    assert set(digests) == {"card.md", "card.html", "croissant.json"}
    return (folder / "card.html").read_text(), (folder / "card.md").read_text()


@pytest.fixture
def folder(dataset):
    folder = dataset.write()
    summary = load_summary(folder)
    place = topology_file(folder, summary.runs[0])
    write_text(place, TOPOLOGY)
    files = summary.files | {place.relative_to(folder).as_posix(): sha256_file(place)}
    told = summary.model_copy(update={"files": files}).model_dump(mode="json")
    write_json(folder / "dataset.json", told)
    return folder


class Seen(HTMLParser):
    """What a page refers to, and whether its tags are closed in order."""

    VOID = ("meta", "br", "link", "img", "input", "hr")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.ids = [], set(), [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [
            v for k, v in attrs if k in ("href", "src", "srcset", "action", "xlink:href")
        ]
        self.ids |= {v for k, v in attrs if k == "id"}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone(folder):
    page, _ = written(folder)
    seen = Seen()
    seen.feed(page)
    assert seen.open == []
    assert not seen.tags & {"script", "link", "img", "iframe", "object"}
    assert all(link.startswith("#") for link in seen.links)
    assert {link[1:] for link in seen.links} <= seen.ids
    assert "@import" not in page
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize("form", [0, 1])
def test_everything_about_every_check_is_told(folder, form):
    text = written(folder)[form]
    for check in CHECKS:
        assert check.id in text
        assert check.title in text
        assert all(words in text for words in check.evidence)
    assert "mend what C2 found" in text
    assert "FAIL (accepted)" in text.replace("**", "")
    assert "ports are &lt;b" in text
    assert "<b>the</b>" not in text
    assert "0.75" in text
    assert "not applicable" in text


def test_the_verdict_comes_first(folder):
    page, text = written(folder)
    assert "not released by its audit" in page
    assert "**Not released by its audit.**" in text
    assert page.index("mend what C2 found") < page.index('id="classes"')
    page, text = written(folder, CHECKS[:1], released=True)
    assert "No check failed." in page
    assert "Released by its audit." in text


def test_every_picture_is_there_and_inside_its_frame(folder):
    page, _ = written(folder)
    pictures = [ElementTree.fromstring(text) for text in SVG.findall(page)]  # noqa: S314 - ours
    spaces = "{http://www.w3.org/2000/svg}"
    titles = [one.findtext("title") or one.findtext(f"{spaces}title") for one in pictures]
    assert titles[:4] == [
        "Flows of each class by split",
        "Topology small",
        "Activities and flow rate of run-train",
        "Activities and flow rate of run-test",
    ]
    assert "Distribution of c2s_packets by class" in titles
    assert titles[-2:] == ["Decision tree of depth 3", "Rank correlation of features"]
    for one in pictures:
        width, height = (float(n) for n in one.get("viewBox").split()[2:])
        for text in one.iter("text"):
            x, y, long = float(text.get("x")), float(text.get("y")), len(text.text) * CHARACTER_PX
            shift = {"start": 0, "middle": -0.5, "end": -1}[text.get("text-anchor")]
            assert 0 <= y <= height
            if not text.get("transform"):
                assert x + shift * long >= -2
                assert x + (1 + shift) * long <= width + 2, text.text
        for rect in one.iter("rect"):
            assert float(rect.get("x") or 0) + float(rect.get("width")) <= width + 0.2


def test_the_drawing_of_a_topology_styles_nothing_else(folder):
    page, _ = written(folder)
    drawing = page[page.index('<div class="topology">') :]
    style = drawing[drawing.index("<style>") + 7 : drawing.index("</style>")]
    rules = [line for line in style.splitlines() if line.strip()]
    assert len(rules) > 5
    assert all(rule.startswith(".topology ") for rule in rules)


def test_the_same_dataset_gives_the_same_card(folder):
    assert written(folder) == written(folder)


def test_shortcuts_name_the_feature_that_gives_a_class_away(folder):
    facts = gather(load_dataset(folder))
    best = facts.shortcuts(facts.classes.index("scan"))[0]
    assert (best.feature, best.accuracy, best.threshold) == ("c2s_packets", 1.0, 1.0)
    suspect = facts.suspects[0]
    assert (suspect.feature, suspect.seen, suspect.accuracy) == ("dst_port", False, 1.0)
    assert suspect.label in facts.classes
    assert facts.names[facts.telling()[0]] == "c2s_packets"
    _, text = written(folder)
    assert "| scan | c2s_packets | 1 | 1.000 |" in text


def test_ports_are_shown_as_suspects_and_never_as_features(folder):
    facts = gather(load_dataset(folder))
    assert "dst_port" in {one.feature for one in facts.suspects}
    assert "dst_port" not in {one.feature for n in range(3) for one in facts.shortcuts(n)}
    assert "dst_port" not in facts.correlation()[0]
    assert "dst_port" not in {node.feature for node in nodes(facts.tree)}


def nodes(node):
    return [node, *(deeper for child in (node.yes, node.no) if child for deeper in nodes(child))]


def test_the_leaves_of_the_tree_hold_every_flow_once(folder):
    facts = gather(load_dataset(folder))
    ends = leaves(facts.tree)
    assert (
        np.sum([leaf.counts for _, leaf in ends], axis=0).tolist()
        == np.bincount(facts.codes).tolist()
    )
    assert max(len(path) for path, _ in ends) <= 3
    # Each path is true of as many flows as its leaf counts.
    for path, leaf in ends:
        rows = np.ones(len(facts.codes), dtype=bool)
        for words in path:
            rows &= holds(facts, words)
        assert rows.sum() == sum(leaf.counts)


def holds(facts, words):
    if words.startswith(("no ", "has ")):
        unknown = np.isnan(facts.values[:, facts.names.index(words.split()[1])])
        return unknown if words.startswith("no ") else ~unknown
    name, sign, threshold = words.split()
    values = facts.values[:, facts.names.index(name)]
    # What is written of a threshold is four digits; flows lie farther apart than that.
    below = np.isnan(values) | (values <= float(threshold) * 1.0005)
    return below if sign == "≤" else ~below


def test_timelines_count_every_labelled_flow(folder):
    data = load_dataset(folder)
    for one in timelines(folder, data):
        assert one.begun.sum() == sum(data.summary.classes[one.run.split].values())
        assert one.going.max() <= 40  # activities
        assert one.going.any(axis=0).mean() > 0.9


def test_odd_datasets_have_a_card_too(dataset):
    for row in dataset.all_rows:
        row["label"] = "unlabelled"
    page, text = written(dataset.write())
    assert "A tree of depth 3" not in page + text
    for row in dataset.all_rows:
        row["label"] = "Web "
    assert "Verdict" in written(dataset.write())[0]  # no label of the vocabulary
    for number, row in enumerate(dataset.all_rows):
        row |= {"label": ["web", "ssh"][number % 2], "handshake_rtt_ms": None, "c2s_packets": 5}
    assert "A tree of depth 3" in written(dataset.write())[0]


def test_axes_have_round_ticks_in_short_words():
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(-3, 3, 3) == [-2, 0, 2]
    assert ticks(5, 5) == [5]
    assert [said(n) for n in (0, 0.25, 999, 1500, 2e6, -3e9)] == [
        "0", "0.25", "999", "1.5k", "2M", "-3G"
    ]  # fmt: skip


def test_many_classes_still_have_colours_of_their_own():
    from audit.card.svg import colour

    assert len({colour(place) for place in range(36)}) == 36
    counts = {f"class-with-a-long-name-{n}": n for n in range(40)}
    ElementTree.fromstring(charts.balance({"train": counts}, list(counts)))  # noqa: S314 - ours


def test_the_card_tells_what_failures_propose_and_what_is_lived_with(folder):
    page, text = written(folder)
    for words in (unescape(page), text.replace("\\|", "|")):
        proposal = "Proposal: in topology small, activities.surf.arrival.mean_s: 20 -> 40, because"
        assert f"{proposal} sessions overlap" in words
        assert "Yours to decide: in spec mine, rules: traffic -> own, because" in words
        assert "No change is proposed: a program goes on" in words
        assert "Accepted and allowed" in words
        assert "web/c2s_ttl_min may tell" in words
        assert "one stack | for all" in words
