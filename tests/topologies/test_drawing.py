"""Pictures: well-formed, of everything there is, with nothing on top of anything else."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from topologies import Topology, library, load_topology
from topologies.drawing import draw
from topologies.drawing.layout import lay_out
from topologies.drawing.scene import scene
from topologies.generator import generate
from topologies.pictures import pictures

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
NAMES = (*library(), "generated-2", "generated-77", "generated-500")


def topology(name: str) -> Topology:
    if not name.startswith("generated-"):
        return load_topology(name).model
    return Topology.model_validate(yaml.safe_load(generate(int(name.rpartition("-")[2]), 5)))


@pytest.mark.parametrize("name", NAMES)
def test_boxes_are_apart_and_inside_the_picture(name: str) -> None:
    picture = scene(topology(name))
    layout = lay_out(picture)
    corners = {
        key: (x, y, x + picture.boxes[key].width, y + picture.boxes[key].height)
        for key, (x, y) in layout.places.items()
    }
    assert set(corners) == set(picture.boxes)
    for left, top, right, bottom in corners.values():
        assert 0 <= left < right <= layout.width
        assert 0 <= top < bottom <= layout.height
    for (_, a), (_, b) in combinations(corners.items(), 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_said(name: str) -> None:
    found = topology(name)
    root = ElementTree.fromstring(draw(found))  # noqa: S314 - ours
    said = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert set(found.networks) | set(found.routers) <= set(said)
    if len(found.hosts) < 20:
        assert set(found.hosts) <= {text.split(" ")[0] for text in said}
        services = " ".join(said)
        assert all(f"{service} (" in services for service in found.services)
    assert said.count("NAT") == sum(router.nat is not None for router in found.routers.values())
    assert sum(bool(re.fullmatch(r"AS \d+", text)) for text in said) == sum(
        router.asn is not None for router in found.routers.values()
    )
    assert draw(found) == draw(found)


def test_what_a_user_wrote_cannot_break_the_picture() -> None:
    tree = {
        "name": "odd",
        "description": "<b> & 'more'",
        "networks": {"a": {"subnet": "198.18.1.0/24"}, "b": {"subnet": "198.18.2.0/24"}},
        "hosts": {"one": {"networks": ["a", "b"]}, "two": {"networks": ["b"]}},
    }
    root = ElementTree.fromstring(draw(Topology.model_validate(tree)))  # noqa: S314 - ours
    assert any("<b> & 'more'" in (e.text or "") for e in root.iter(f"{SVG}text"))


def test_the_pictures_of_the_docs_are_current() -> None:
    """Made by ``python -m topologies.pictures docs/images``."""
    for name, text in pictures().items():
        assert (DOCS / "images" / name).read_text(encoding="utf-8") == text, name
    page = (DOCS / "topologies.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\(images/(topology-[a-z-]+\.svg)\)", page) == [
        f"topology-{name}.svg" for name in _smallest_first()
    ]


def _smallest_first() -> list[str]:
    sizes = {
        name: sum(host.count for host in load_topology(name).model.hosts.values())
        for name in library()
    }
    return sorted(sizes, key=lambda name: (sizes[name], name))
