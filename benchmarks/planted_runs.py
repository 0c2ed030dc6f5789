"""What a dataset keeps of its runs, healthy and with a defect: facts, activities and lineage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from benchmarks.planted import Flows, Spoil
from tagger import ACTIVITIES, DatasetSummary, RunFacts

DIGEST: Final = "0" * 64
Rng = np.random.Generator
Change = Callable[..., None]

CAPTURE: Final[dict[str, Any]] = {
    "network": "servers",
    "sha256": {"captures/servers.pcap": DIGEST},
    "packets": 100_000, "accepted": 99_000, "rejects": {"arp": 1_000}, "ip_bytes": 60_000_000,
    "table_flows": 600, "table_packets": 99_000, "table_ip_bytes": 60_000_000,
    "unordered": 40, "latest_ms": 0.2, "repeated": 10, "mtu": 1_500, "largest_bytes": 1_500,
    "syn_by_initiator": 2_000, "live_flows": 600,
}  # fmt: skip
FACTS: Final[dict[str, Any]] = {
    "seed": 1, "topology_sha256": DIGEST, "backend": "docker", "losses": (), "time_scale": 1.0,
    "images": {"base": f"sha256:{DIGEST}"}, "versions": {"python": "3.11", "source": DIGEST},
    "machine": {"cpus": 2, "memory_mb": 4_000, "kernel": "6"},
    "captures": [CAPTURE, CAPTURE | {"network": "outside"}],
    "points": {"flows": 900, "packets": 30_000},
    "clock": {"kernel_ms": 0.05, "compared": 500},
}  # fmt: skip
RECORD: Final[dict[str, Any]] = {
    "network": "servers", "file": "captures/servers.pcap", "packets": 1_000, "received": 1_000,
    "dropped_by_kernel": 0, "dropped_by_interface": 0,
}  # fmt: skip
LINE: Final[dict[str, Any]] = {
    "topology": "office", "topology_sha256": DIGEST, "seed": 1, "backend": "netns",
    "evidence": "conntrack", "manifest_sha256": DIGEST, "flow_table_sha256": DIGEST,
    "captures": [RECORD], "flows": 600, "unlabelled": 0, "ambiguous": 0,
    "duplicate_observations": 0,
}  # fmt: skip


@dataclass
class Runs:
    """What there is besides the table, and can be spoilt."""

    facts: list[dict[str, Any]]
    activities: list[dict[str, Any]]
    summary: dict[str, Any]
    wrong_rows: dict[str, str] = field(default_factory=dict)

    def parts(self) -> dict[str, Any]:
        """As the fields of `AuditData`."""
        return {
            "facts": tuple(RunFacts.model_validate(one) for one in self.facts),
            "activities": pa.Table.from_pylist(self.activities, schema=ACTIVITIES),
            "lineage": DatasetSummary.model_validate(self.summary),
            "selftest": lambda: self.wrong_rows,
        }


def healthy(table: Flows, runs: tuple[tuple[str, str], ...]) -> Runs:
    """Runs without a fault for a table."""
    classes = sorted(set(table.label))
    return Runs(
        facts=[deepcopy(FACTS) | {"run_id": name} for name, _ in runs],
        activities=[_attack(table, command) for command in sorted(set(table.context["command"]))],
        summary={
            "name": "planted",
            "versions": {"source": DIGEST},
            "rules": {"name": "traffic", "sha256": DIGEST},
            "vocabulary": {
                name: {"category": name, "malicious": name in ("mining", "scan", "flood")}
                for name in classes
            },
            "flows": len(table.label),
            "classes": {},
            "unlabelled": 0,
            "ambiguous": 0,
            "duplicate_observations": 0,
            "quality": {"note": "conntrack", "overall": {"checked": 2_000, "agreed": 2_000}},
            "runs": [
                deepcopy(LINE) | {"run_id": name, "split": split, "seed": seed}
                for seed, (name, split) in enumerate(runs)
            ],
            "files": {},
        },
    )


def _attack(table: Flows, command: str) -> dict[str, Any]:
    """The activity of a command; commands of one class are of one run here."""
    run_id, _, activity_id = command.partition("/")
    rows = table.context["command"] == command
    kind = str(table.label[rows][0])
    return {
        "run_id": run_id, "activity_id": activity_id, "name": kind, "kind": kind,
        "variant": "plain", "params": "{}", "user": "alice", "host": "alice",
        "addresses": ["198.18.1.10"], "start_ns": int(table.columns["first_ns"][rows].min()),
        "stop_ns": int(table.columns["last_ns"][rows].max()), "outcome": "ok", "success": True,
    }  # fmt: skip


# -- defects -------------------------------------------------------------------------------------


def _on(change: Change) -> Spoil:
    """A change of the runs as a defect of the table."""
    return lambda table, rng: _always(partial(change, rng=rng))(table, rng)


def _always(change: Callable[[Runs], object]) -> Spoil:
    """The same, where nothing is left to chance."""

    def spoil(table: Flows, _: Rng) -> None:
        if table.runs is None:
            raise ValueError("a table without runs cannot lose what is kept of them")
        change(table.runs)

    return spoil


def one_run(runs: Runs, rng: Rng) -> dict[str, Any]:
    """The facts of one run."""
    return runs.facts[int(rng.integers(len(runs.facts)))]


def capture(**values: Any) -> Spoil:
    """One capture says something else."""

    def change(runs: Runs, rng: Rng) -> None:
        captures = one_run(runs, rng)["captures"]
        place = int(rng.integers(len(captures)))
        captures[place] = captures[place] | values

    return _on(change)


def fact(name: str, value: Any) -> Spoil:
    """A run says something else; a mapping changes what it names."""

    def change(runs: Runs, rng: Rng) -> None:
        run = one_run(runs, rng)
        run[name] = run[name] | value if isinstance(value, dict) and name in run else value

    return _on(change)


def without(name: str, key: str) -> Spoil:
    """A run lacks something."""

    def change(runs: Runs, rng: Rng) -> None:
        run = one_run(runs, rng)
        run[name] = {other: value for other, value in run[name].items() if other != key}

    return _on(change)


def dropped(counter: str, count: int) -> Spoil:
    """A capture lost packets."""
    return _always(lambda runs: runs.summary["runs"][0]["captures"].append(
        RECORD | {"network": "outside", counter: count}))  # fmt: skip


def disagreeing(agreed: int, checked: int) -> Spoil:
    """The oracle contradicts labels."""
    overall = {"checked": checked, "agreed": agreed}
    return _always(lambda runs: runs.summary["quality"].update(overall=overall))


def unjudged(runs: Runs, rng: Rng, *, share: float) -> None:
    """Attacks end without saying what came of them."""
    attacks = [one for one in runs.activities if one["kind"] in ("scan", "flood", "mining")]
    for one in rng.permutation(np.array(attacks, dtype=object))[
        : max(1, int(share * len(attacks)))
    ]:
        one["success"] = None


def outliving(runs: Runs, *, seconds: float) -> None:
    """Attacks are said to have stopped before their last flows begin."""
    for one in runs.activities:
        if one["kind"] in ("scan", "flood", "mining"):
            one["stop_ns"] -= round(seconds * 1e9)


def timeless(table: Flows, _: Rng) -> None:
    """Nobody knows when the flows were."""
    for name in ("first_ns", "last_ns"):
        del table.columns[name], table.roles[name]


def forgotten(runs: Runs, rng: Rng) -> None:
    """A run left nothing but its flows."""
    del runs.facts[int(rng.integers(len(runs.facts)))]


RUN_DEFECTS: Final[Mapping[str, Mapping[str, Spoil]]] = {
    "A1": {"in the kernel": dropped("dropped_by_kernel", 1),
           "at the interface": dropped("dropped_by_interface", 900)},
    "A2": {"late packets": capture(late=3, unordered=3, latest_ms=40.0),
           "one late packet": capture(late=1, latest_ms=10.5),
           "captured twice": capture(repeated=50_000),
           "some captured twice": capture(repeated=200)},
    "A3": {"machines apart": fact("clock", {"engines_ms": 25.0}),
           "set": fact("load", {"seconds": 60, "samples": 60, "busy_share": 0.2,
                                "busiest_share": 0.5, "steal_share": 0.0, "runnable_per_cpu": 0.5,
                                "stalled_share": None, "throttled_s": 0, "clock_step_ms": 180.0}),
           "capture ahead": fact("clock", {"kernel_ms": -15.0}),
           "capture behind": fact("clock", {"kernel_ms": 45.0, "delay_ms": 20.0})},
    "A4": {"one point missed some": fact("points", {"appeared": 7}),
           "undeclared loss": fact("points", {"vanished": 12}),
           "more than declared": fact("points", {"vanished": 900, "loss_percent": 1.0})},
    "B1": {"a wrong row": _always(lambda runs: runs.wrong_rows.update(icmp="row 0: …")),
           "many": _always(lambda runs: runs.wrong_rows.update(dict.fromkeys("abcdef", "…")))},
    "B2": {"a packet lost": capture(table_packets=98_999),
           "bytes lost": capture(table_ip_bytes=59_999_960),
           "a row lost": capture(table_packets=98_990, table_ip_bytes=59_990_000),
           "rejects not counted": capture(rejects={}),
           "table of another capture": capture(table_packets=120_000, table_ip_bytes=70_000_000)},
    "B3": {"servers begin": capture(syn_by_initiator=1_500, syn_by_responder=500),
           "some servers": capture(syn_by_initiator=1_980, syn_by_responder=20)},
    "B6": {"a column": capture(differing=("iat_mean_ms",)),
           "a row": capture(live_flows=601, differing=("flow_id", "first_ns"))},
    "C1": {"wrong labels": disagreeing(1_980, 2_000), "too few": disagreeing(300, 300)},
    "C3": {"one attack": _on(partial(unjudged, share=0.0)),
           "all attacks": _on(partial(unjudged, share=1.0))},
    "C4": {"labelled": _always(partial(outliving, seconds=30)),
           "long after": _always(partial(outliving, seconds=900)),
           "in the evidence": fact("after_stop", {"a0007": 2})},
    "C8": {"a flow": fact("torn", ("servers-1",)), "flows": fact("torn", tuple("abcdefgh"))},
    "G2": {"a name server": fact("outside", {"8.8.8.8": 1}),
           "IPv6": fact("outside", {"2606:4700::1111": 3, "2620:fe::fe": 1})},
    "H1": {"topology": fact("topology_sha256", ""), "source": without("versions", "source"),
           "machine": without("machine", "kernel"), "image": fact("images", {"base": "latest"}),
           "images": without("images", "base"),
           "capture": capture(sha256={}), "a run": _on(forgotten)},
    "H3": {"times": timeless,
           "runs": _always(lambda runs: runs.summary.update(runs=[]))},
}  # fmt: skip
