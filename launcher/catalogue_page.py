"""The reference page of all kinds of activity, from the kinds and from what was seen of them.

``python -m launcher.catalogue_page`` writes it anew; a test tells when that is due. What was seen
on the wire comes from ``python -m tests.launcher.contract --record``, which plays every kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from launcher.activities import ActivityKind, catalogue, services
from launcher.compile import compile_run
from launcher.needs import packages
from topologies import library, load_topology

PAGE: Final = Path("docs/reference/activities.md")
SEEN: Final = Path("docs/reference/activities-seen.json")
Seen = Mapping[str, Mapping[str, str]]
"""By back end and kind: the protocols that tshark named."""

_INTRODUCTION: Final = """\
# Activities

Made from `launcher/activities/` by `python -m launcher.catalogue_page`. Each kind is a real client
that talks the real protocol to a real server. A topology names it under `activities:`, its server
under `services:`; `gsta schema topology` has the frame, the kind's file its parameters. Every
session draws a variant and its parameters from the seed. `gsta activity list` says which run on a
machine as it is, `gsta activity packages` what to install for the others.

The last table is measured: every variant of every kind was played between two hosts of a lab, and
its own packets were asked for what they are (`tests/launcher/test_contract.py` does the same). It
has the protocols that tshark shows on that kind's network.
"""


def page(seen: Seen) -> str:
    """The page as Markdown."""
    return "\n".join((_INTRODUCTION, *_kinds(), *_services(), *_library(), *_seen(seen))) + "\n"


def _kinds() -> Iterator[str]:
    by_category: dict[str, list[ActivityKind[Any]]] = {}
    for kind in catalogue().values():
        by_category.setdefault(kind.category, []).append(kind)
    for category, kinds in sorted(by_category.items()):
        yield f"## {category}\n"
        yield from _table(
            ("kind", "what it is", "service", "variants", "back ends", "Debian packages"),
            (
                (
                    f"`{kind.kind}`",
                    kind.summary + _malice(kind) + (" Carries another activity." * kind.tunnels),
                    kind.service_kind or "any",
                    ", ".join(kind.variants),
                    ", ".join(kind.backends),
                    ", ".join(sorted({n.package for n in kind.needs if n.package})),
                )
                for kind in kinds
            ),
        )


def _malice(kind: ActivityKind[Any]) -> str:
    if not kind.malicious:
        return "."
    return f". **{kind.attack_technique}**; its effect: {kind.effect}."


def _services() -> Iterator[str]:
    yield "## Services\n"
    yield from _table(
        ("kind", "what it is", "ports", "transport", "Debian packages"),
        (
            (
                f"`{service.kind}`",
                service.summary,
                ", ".join(map(str, service.ports)),
                service.protocol,
                ", ".join(sorted({n.package for n in service.needs if n.package})),
            )
            for service in services().values()
        ),
    )


def _library() -> Iterator[str]:
    yield "## In the library's topologies\n"
    plans = {name: compile_run(load_topology(name), seed=1) for name in library()}
    kinds = {
        name: sorted({activity.kind for activity in load_topology(name).model.activities.values()})
        for name in plans
    }
    yield from _table(
        ("topology", "kinds", "Debian packages: `gsta topology packages`"),
        (
            (
                f"`{name}`",
                f"{len(kinds[name])}: {', '.join(kinds[name])}",
                ", ".join(packages(need for need in plan.lab.needs if not need.module)) or "none",
            )
            for name, plan in sorted(plans.items(), key=lambda item: len(kinds[item[0]]))
        ),
    )


def _seen(seen: Seen) -> Iterator[str]:
    yield "## Seen on the wire\n"
    backends = sorted(seen, reverse=True)
    yield from _table(
        ("kind", *backends),
        ((f"`{k}`", *(seen[b].get(k, "-") for b in backends)) for k in sorted(catalogue())),
    )
    counts = ", ".join(f"{len(seen[b])} on {b}" for b in backends)
    yield f"{len(catalogue())} kinds; {counts}."


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(json.loads(SEEN.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
