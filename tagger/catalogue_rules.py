"""The rule files that follow from the catalogue of activities, each a label set of its own.

``python -m tagger.catalogue_rules`` writes them anew; a test tells when that is due.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, get_args

import yaml

from launcher.activities import ActivityKind, catalogue
from launcher.inside import fits_inside
from tagger.rulebook import RULES
from tagger.when import Child

HEAD: Final = """\
# Made by python -m tagger.catalogue_rules from the catalogue of activities.
# {about}
"""
MINING: Final = "T1496"
RELAYED: Final[Child] = "relayed"

Kind = ActivityKind[Any]


class Named(NamedTuple):
    """The label that a set gives to a kind."""

    label: str
    category: str
    malicious: bool
    description: str = ""


class LabelSet(NamedTuple):
    """A rule file: what it is about, the label of each kind, and rules beside those."""

    about: str
    label: Callable[[Kind], Named]
    labels: Mapping[str, Mapping[str, Any]] = {}
    rules: Sequence[Mapping[str, Any]] = ()
    network: str | None = None


def _activity(kind: Kind) -> Named:
    return Named(kind.kind, kind.category, kind.malicious, kind.summary)


def _category(kind: Kind) -> Named:
    return Named(kind.category, kind.category, kind.malicious)


def _class(kind: Kind) -> Named:
    if kind.category == "infrastructure":
        return Named("background", "infrastructure", malicious=False)
    return _category(kind)


def _application(kind: Kind) -> Named:
    served = kind.service_kind or "hosts"
    if kind.malicious and kind.attack_technique != MINING:
        return Named(f"attack-on-{served}", "attack", malicious=True)
    return Named(served, served, kind.malicious)


def _malicious(kind: Kind) -> Named:
    name = "malicious" if kind.malicious else "benign"
    return Named(name, name, kind.malicious)


def _technique(kind: Kind) -> Named:
    technique = kind.attack_technique
    if technique is None:
        return Named("none", "none", malicious=False, description="no technique of ATT&CK")
    name = technique.lower().replace(".", "-")
    return Named(name, "attack", malicious=True, description=f"ATT&CK {technique}")


def _mining(kind: Kind) -> Named:
    if kind.attack_technique == MINING:
        return Named("mining", "cryptomining", malicious=True)
    return Named("other", "other", malicious=False, description="not mining; may be another attack")


def _hidden_mining() -> Mapping[str, Any]:
    kinds = catalogue().values()
    return {
        "id": "mining-in-a-tunnel",
        "priority": 1,
        "when": {
            "kind": sorted(kind.kind for kind in kinds if kind.tunnels),
            "inside": sorted(kind.kind for kind in kinds if kind.attack_technique == MINING),
        },
        "label": "mining",
        "reason": "{user} mined through {service}, a {kind} tunnel",
    }


def _caused(label: str) -> Mapping[str, Any]:
    return {
        "id": "caused",
        "priority": 1,
        "when": {"child": [child for child in get_args(Child) if child != RELAYED]},
        "label": label,
        "reason": "the host of {user} asked {service}, or had errors from it, during {kind}",
    }


def label_sets() -> dict[str, LabelSet]:
    """Every label set, by the name of its rule file."""
    return {
        "activities": LabelSet("A label for every kind of activity.", _activity),
        "applications": LabelSet("Whose application it is; attacks on one apart.", _application),
        "categories": LabelSet("The category of the activity.", _category),
        "cryptomining": LabelSet(
            "Cryptocurrency mining, in a tunnel too, against everything else.",
            _mining,
            rules=(_hidden_mining(), _caused("other")),
        ),
        "malicious": LabelSet("Malicious or benign, as the catalogue has it.", _malicious),
        "techniques": LabelSet("The ATT&CK technique of an attack.", _technique),
        "traffic-classes": LabelSet(
            "Categories, with names, time and errors that activities cause as background.",
            _class,
            labels={"background": {"category": "infrastructure", "malicious": False}},
            rules=(_caused("background"),),
            network="background",
        ),
    }


def rule_file(name: str) -> str:
    """A rule file as YAML."""
    chosen = label_sets()[name]
    kinds: dict[Named, list[str]] = {}
    for kind in sorted(catalogue().values(), key=lambda kind: kind.kind):
        kinds.setdefault(chosen.label(kind), []).append(kind.kind)
    named: dict[str, Named] = {}
    for item in kinds:
        named.setdefault(item.label, item)
    document: dict[str, object] = {
        "format": 1,
        "name": name,
        "description": chosen.about,
        "labels": dict(chosen.labels) | {label: _label(item) for label, item in named.items()},
        "rules": [
            *chosen.rules,
            *(rule for label in named if (rule := _relayed(label, kinds)) is not None),
            *(_rule(label, kinds) for label in named),
        ],
    }
    if chosen.network is not None:
        document["network"] = chosen.network
    text = yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)
    return HEAD.format(about=chosen.about) + text


def _label(item: Named) -> dict[str, object]:
    described = {"description": item.description} if item.description else {}
    return {"category": item.category, "malicious": item.malicious, **described}


def _relayed(label: str, kinds: Mapping[Named, Sequence[str]]) -> dict[str, object] | None:
    """A tunnel's traffic beyond its far end is in the open: of the label of what is inside."""
    inside = [kind for kind in _spoken(label, kinds) if fits_inside(catalogue()[kind])]
    if not inside:
        return None
    return {
        "id": f"{label}-relayed",
        "priority": 2,
        "when": {"child": RELAYED, "inside": inside[0] if len(inside) == 1 else inside},
        "label": label,
        "reason": "the far end of a {kind} tunnel talked to {service} for {user}",
    }


def _spoken(label: str, kinds: Mapping[Named, Sequence[str]]) -> list[str]:
    """The kinds of a label."""
    return [kind for item, those in kinds.items() if item.label == label for kind in those]


def _rule(label: str, kinds: Mapping[Named, Sequence[str]]) -> dict[str, object]:
    spoken = _spoken(label, kinds)
    return {
        "id": f"{label}-session",
        "when": {"kind": spoken[0] if len(spoken) == 1 else spoken},
        "label": label,
        "reason": "{user} did {kind} ({variant}) with {service}",
    }


if __name__ == "__main__":
    for name in label_sets():
        (RULES / f"{name}.yaml").write_text(rule_file(name), encoding="utf-8")
