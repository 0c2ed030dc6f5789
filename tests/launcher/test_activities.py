"""The catalogue: what was found, and what every kind promises to the rest of the launcher."""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from pydantic import ValidationError

import launcher
from launcher.activities import ActivityKind, catalogue, services
from launcher.activities.kind import Params
from launcher.catalogue_page import PAGE, SEEN, page
from topologies import library, load_topology

PROGRAMS = Path(launcher.__file__).parent / "programs"
KINDS = {"web", "video", "transfer", "ssh", "dns", "mail", "mining", "scan"}
LIBRARIES = {"asyncssh", "h2", "dnslib", "aiosmtpd", "cryptography"}
MAX_VARIANT_SHARE = 0.38  # a third, and chance

every_kind = pytest.mark.parametrize("kind", catalogue().values(), ids=lambda kind: kind.kind)


def test_all_kinds_and_services_are_found() -> None:
    assert set(catalogue()) >= KINDS
    assert set(services()) >= {"web", "video", "ssh", "dns", "mail", "pool"}


@every_kind
def test_a_kind_names_things_that_exist(kind: ActivityKind[Params]) -> None:
    assert (PROGRAMS / f"{kind.program}.py").is_file()
    assert kind.service_kind is None or kind.service_kind in services()
    assert len(set(kind.variants)) == len(kind.variants) >= 3
    assert kind.wire if isinstance(kind.wire, str) else set(kind.wire) == set(kind.variants)
    assert kind.backends


@every_kind
def test_attacks_and_only_they_say_technique_and_effect(kind: ActivityKind[Params]) -> None:
    said = (kind.attack_technique is not None, kind.effect is not None)
    assert said == (kind.malicious, kind.malicious)
    assert kind.category != "attack" or kind.malicious


@pytest.mark.parametrize("service", services().values(), ids=lambda service: service.kind)
def test_a_service_names_things_that_exist(service) -> None:  # type: ignore[no-untyped-def]
    assert (PROGRAMS / f"{service.program}.py").is_file()
    assert len(set(service.ports)) == len(service.ports) >= 1
    json.dumps(service.params().model_dump(mode="json"))


@every_kind
def test_the_same_seed_draws_the_same_parameters(kind: ActivityKind[Params]) -> None:
    params = kind.params()
    assert kind.draw(Random(7), params) == kind.draw(Random(7), params)


@every_kind
def test_draws_are_diverse_plain_and_balanced(kind: ActivityKind[Params]) -> None:
    rng, params = Random(3), kind.params()
    draws = [kind.draw(rng, params) for _ in range(1_000)]
    shares = Counter(variant for variant, _ in draws)
    assert set(shares) == set(kind.variants)
    assert max(shares.values()) <= 1_000 * MAX_VARIANT_SHARE
    assert all(drawn["variant"] == variant for variant, drawn in draws)
    # Some kinds have few knobs; what they say is drawn by the program, or by what is inside.
    assert len({json.dumps(drawn, sort_keys=True) for _, drawn in draws}) > (
        2 if kind.tunnels else 20
    )


@every_kind
def test_authors_choose_variants(kind: ActivityKind[Params]) -> None:
    wanted = kind.variants[-1]
    params = kind.params.model_validate({"variants": [wanted]})
    assert {kind.draw(Random(seed), params)[0] for seed in range(20)} == {wanted}


@every_kind
@pytest.mark.parametrize("wrong", [{"variants": ["nonsense"]}, {"variants": []}, {"colour": "red"}])
def test_wrong_parameters_are_refused(kind: ActivityKind[Params], wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        kind.params.model_validate(wrong)


def test_a_version_without_a_variant_is_refused_with_a_remedy() -> None:
    with pytest.raises(ValidationError, match="add a version or a variant"):
        catalogue()["web"].params.model_validate({"versions": ["h2"], "variants": ["api"]})


def test_a_pool_of_one_transport_is_kept_to() -> None:
    mining = catalogue()["mining"]
    params = mining.params.model_validate({"transports": ["tls"]})
    assert all(mining.draw(Random(seed), params)[1]["tls"] for seed in range(30))


def _imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("file", sorted(PROGRAMS.glob("*.py")), ids=lambda file: file.stem)
def test_a_program_imports_only_what_every_host_has(file: Path) -> None:
    siblings = {path.stem for path in PROGRAMS.glob("common*.py")}
    kinds = (*catalogue().values(), *services().values())
    needed = {need.module.split(".")[0] for kind in kinds for need in kind.needs if need.module}
    assert _imports(file) <= set(sys.stdlib_module_names) | LIBRARIES | siblings | needed
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300


def test_most_kinds_are_somewhere_in_the_library() -> None:
    topologies = [load_topology(name).model for name in library()]
    played = {activity.kind for one in topologies for activity in one.activities.values()}
    assert len(played) >= 0.9 * len(catalogue())


def test_the_page_of_activities_is_current() -> None:
    seen = json.loads(SEEN.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == page(seen), "python -m launcher.catalogue_page"
    for backend, kinds in seen.items():
        assert set(kinds) <= set(catalogue())
        assert all(backend in catalogue()[kind].backends and kinds[kind] for kind in kinds)
