"""The machine watched during a run, on files of a kernel's making."""

from __future__ import annotations

import itertools

import pytest

from launcher.hostload import LoadWatch
from launcher.losses import Losses


class Kernel:
    """The files that a kernel shows."""

    def __init__(self, folder):
        self.proc, self.cgroups = folder / "proc", folder / "cgroup"
        (self.proc / "pressure").mkdir(parents=True)
        (self.cgroups / "box").mkdir(parents=True)
        self.seconds = itertools.count(0)
        self.show([0] * 8, running=1, stalled_us=0, throttled_us=1_000_000)

    def show(self, ticks, *, running, stalled_us, throttled_us):
        columns = " ".join(map(str, [*ticks, 0, 0]))
        (self.proc / "stat").write_text(
            f"cpu  {columns}\ncpu0 {columns}\nprocs_running {running}\n"
        )
        (self.proc / "pressure" / "cpu").write_text(
            f"some avg10=0.00 avg60=0.00 avg300=0.00 total={stalled_us}\nfull total=0\n"
        )
        (self.cgroups / "box" / "cpu.stat").write_text(
            f"usage_usec 5\nnr_throttled 3\nthrottled_usec {throttled_us}\n"
        )

    def watch(self):
        return LoadWatch(
            Losses(), proc=self.proc, cgroups=self.cgroups, now_s=lambda: next(self.seconds)
        )


@pytest.fixture
def kernel(tmp_path):
    return Kernel(tmp_path)


def test_shares_of_time_pressure_and_limits(kernel):
    watch = kernel.watch()
    kernel.show([50, 0, 0, 50, 0, 0, 0, 0], running=2, stalled_us=100_000, throttled_us=1_000_000)
    watch.look()
    kernel.show(
        [130, 0, 0, 50, 10, 0, 0, 10], running=6, stalled_us=500_000, throttled_us=3_500_000
    )
    watch.stop()
    load = watch.result
    assert load is not None
    assert load.busy_share == pytest.approx(0.7)
    assert load.busiest_share == pytest.approx(0.9)
    assert load.steal_share == pytest.approx(0.05)
    assert load.samples == 2
    assert load.throttled_s == 2.5
    assert load.stalled_share == pytest.approx(0.5 / load.seconds)
    assert load.clock_step_ms == 0


def test_a_kernel_that_tells_no_pressure(kernel):
    (kernel.proc / "pressure" / "cpu").unlink()
    watch = kernel.watch()
    watch.stop()
    assert watch.result is not None
    assert watch.result.stalled_share is None


def test_nothing_is_said_before_the_end(kernel):
    assert kernel.watch().result is None
