"""The closed loop: what is tried after an audit that blocks, and when it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from audit import AuditReport, CheckResult
from audit.changes import Change
from audit.patch import read_patch
from audit.result import Verdict
from gsta.attempts import until_clean
from gsta.generate import Generated
from gsta.order import Order, load_spec
from launcher.run import Progress
from topologies.errors import GateError

MEAN = "activities.scanning.arrival.mean_s"


class Told:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.said: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        raise AssertionError("nothing is run here")
        yield

    def say(self, text: str) -> None:
        self.said.append(text)


def failed(old: float, new: float | None) -> CheckResult:
    """A blocking check that proposes other pauses, or nothing."""
    change = Change(
        document="topology",
        name="branch",
        at=MEAN,
        old=old,
        new=new,
        check="C2",
        because="they overlap",
    )
    return CheckResult(
        id="C2",
        severity="B",
        title="flows without a label",
        value=0.2,
        threshold=0.1,
        verdict="fail",
        evidence=(),
        remedy="part them",
        changes=() if new is None else (change,),
        no_change="they stand alone" if new is None else "",
    )


class Lab:
    """Generates reports: released once sessions are ``enough`` seconds apart."""

    def __init__(self, enough: float, step: float | None = 2.0, verdict: Verdict = "pass") -> None:
        self.enough, self.step = enough, step
        self.passed = failed(0, None).model_copy(update={"verdict": verdict})
        self.tried: list[float] = []

    def __call__(self, order: Order, folder: Path) -> Generated:
        mean_s = order.topologies[0].model.activities["scanning"].arrival.mean_s
        self.tried.append(mean_s)
        released = mean_s >= self.enough
        after = None if self.step is None else mean_s * self.step
        report = AuditReport(
            dataset="mine",
            dataset_sha256="0" * 64,
            released=released,
            checks=(self.passed,) if released else (failed(mean_s, after),),
        )
        return Generated(folder / "dataset", report)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps({"name": "mine", "topology": "branch"}))
    return load_spec(path)


def test_it_changes_what_is_proposed_until_the_audit_releases(order: Order, tmp_path: Path) -> None:
    lab, told, folder = Lab(enough=160), Told(), tmp_path / "mine-1"
    last, made = until_clean(order, folder, 3, lab, told)
    assert lab.tried == [40, 80, 160]
    assert made.dataset == folder / "attempt-3" / "dataset"
    assert last.spec.source.file == str(folder / "attempt-3" / "spec.yaml")
    for number, mean_s in enumerate(lab.tried[:-1], start=1):
        (change,) = read_patch(folder / f"attempt-{number}" / "patch.yaml").model.changes
        assert (change.old, change.new) == (mean_s, 2 * mean_s)
    assert "attempt 1: not released, by C2" in told.said[0]
    assert f"{MEAN}: 40 -> 80 (C2: they overlap)" in told.said[0]
    assert "attempt 3: released" in told.said[-1]


@pytest.mark.parametrize(
    ("lab", "tried", "says"),
    [
        (Lab(enough=1_000), [40, 80, 160], "the audit blocks attempt 3 as well"),
        (Lab(enough=1_000, step=None), [40], "no change is left to make"),
        (Lab(enough=1_000, step=1.0), [40], "proposed for attempt 1 change nothing"),
    ],
    ids=["too often", "nothing proposed", "nothing changed"],
)
def test_it_gives_up_with_the_remedy(
    order: Order, tmp_path: Path, lab: Lab, tried: list[float], says: str
) -> None:
    with pytest.raises(GateError) as error:
        until_clean(order, tmp_path / "mine-1", 2, lab, Told())
    assert lab.tried == tried
    assert says in str(error.value)
    assert "C2: part them" in str(error.value)


def test_a_dataset_too_small_to_fail_is_not_clean(order: Order, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="too little is left to measure C2 again"):
        until_clean(order, tmp_path, 3, Lab(enough=80, verdict="not_applicable"), Told())
