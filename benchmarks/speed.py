"""How fast whole processes are on one core, beside other meters; medians, ratios in one run.

    python benchmarks/speed.py big.pcap --nfstream PYTHON --part part.pcap

``--nfstream`` and ``--cicflowmeter`` name a Python that has the other meter; softflowd is used if
it is installed, and a C compiler. The part is a small capture for the Python cicflowmeter.

Two processes at once, which share nothing, show what two cores of the machine are worth: two
threads cannot gain more.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.timing import Run, median, publish, run

NFSTREAM: Final = """
import sys
from nfstream import NFStreamer
print(sum(1 for _ in NFStreamer(source=sys.argv[1], statistical_analysis=True, splt_analysis=20,
                                n_dissections=0, n_meters=1)))
"""
CICFLOWMETER: Final = "from cicflowmeter.sniffer import main; main()"
PHASES: Final = ("-m", "benchmarks.phases")
AT_ONCE: Final = "gsta meter, two processes at once, packets of both"
WALK: Final = Path(__file__).with_name("walk.c")


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("capture", type=Path)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--nfstream")
    options.add_argument("--cicflowmeter")
    options.add_argument("--part", type=Path)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _whole(asked, Path(folder))
        _parts(asked, Path(folder))


def _whole(asked: argparse.Namespace, folder: Path) -> None:
    ours = [sys.executable, "-m", "gsta", "meter", str(asked.capture), "--out",
            str(folder / "x.parquet")]  # fmt: skip
    other = [*ours[:-1], str(folder / "y.parquet")]
    both = f"{shlex.join(ours)} & {shlex.join(other)}; wait"
    commands: dict[str, tuple[list[str], Path, int]] = {
        "gsta meter, full, to Parquet": (ours, asked.capture, 1),
        "gsta meter, two threads on two cores": ([*ours, "--threads", "2"], asked.capture, 2),
        AT_ONCE: (["sh", "-c", both], asked.capture, 2),
    }
    if asked.nfstream:
        script = [asked.nfstream, "-W", "ignore", "-c", NFSTREAM]
        commands["NFStream, statistics and 20 packets"] = (
            [*script, str(asked.capture)], asked.capture, 1,
        )  # fmt: skip
    if shutil.which("softflowd"):
        script = ["softflowd", "-d", "-r", str(asked.capture)]
        commands["softflowd, no export"] = (script, asked.capture, 1)
    if asked.cicflowmeter and asked.part:
        script = [asked.cicflowmeter, "-c", CICFLOWMETER, "-f", str(asked.part), "-c",
                  str(folder / "x.csv")]  # fmt: skip
        commands["cicflowmeter (Python), on the part"] = (script, asked.part, 1)
    run(ours)  # what it compiles is kept
    counts = {path: packets_in(path) for path in {path for _, path, _ in commands.values()}}
    rates: dict[str, float] = {}
    rows: list[list[object]] = []
    for name, (command, path, cores) in commands.items():
        once: Run = median([run(command, cores=cores) for _ in range(asked.runs)])
        rates[name] = counts[path] * (2 if name == AT_ONCE else 1) / once.seconds
        base = rates.get("gsta meter, full, to Parquet", 1.0)
        rows.append([name, once.seconds, rates[name], once.peak_mb, base / rates[name]])
    columns = ["whole process", "s", "packets/s", "peak MB", "gsta on one core is … x as fast"]
    publish(
        f"Speed: {counts[asked.capture]:,} packets", "python -m benchmarks.speed", columns, rows
    )


def _parts(asked: argparse.Namespace, folder: Path) -> None:
    """Metering beside merely walking the records; starting for the first time, and later."""
    python = [sys.executable, *PHASES]
    seconds: dict[str, float] = {
        title: statistics.median_low(
            [float(run([*python, phase, str(asked.capture)]).output) for _ in range(asked.runs)]
        )
        for title, phase in (("metering", "meter"), ("walking", "walk"))
    }
    for title, command in _plainer(asked.capture, folder).items():
        seconds[title] = statistics.median_low([run(command).seconds for _ in range(asked.runs)])
    count = packets_in(asked.capture)
    rows: list[list[object]] = [
        [title, took, count / took, took / seconds["metering"]] for title, took in seconds.items()
    ]
    columns = ["phase", "s", "packets/s", "metering's speed as a share of it"]
    publish("Metering beside walking the records", "python -m benchmarks.speed", columns, rows)
    starts: list[list[object]] = []
    for number in range(asked.runs):
        cache = {"NUMBA_CACHE_DIR": str(folder / f"cache{number}")}
        first, later = (
            run([*python, "start", str(asked.capture)], environment=cache) for _ in range(2)
        )
        starts.append([number + 1, first.seconds, later.seconds, float(later.output)])
    columns = ["run", "first use ever, s", "later start, process s", "to the first packet, s"]
    publish("Start", "python -m benchmarks.speed", columns, starts)


def _plainer(capture: Path, folder: Path) -> dict[str, list[str]]:
    """Commands that only read the capture, or only walk it in C."""
    commands = {"reading (cat)": ["sh", "-c", f"cat {shlex.quote(str(capture))} > /dev/null"]}
    if shutil.which("cc"):
        program = str(folder / "walk")
        run(["cc", "-O2", "-o", program, str(WALK)])
        commands["walking in C (stdio)"] = [program, str(capture)]
    return commands


def packets_in(path: Path) -> int:
    """How many records a capture has; counted elsewhere, to keep this process small."""
    return int(run([sys.executable, *PHASES, "count", str(path)]).output)


if __name__ == "__main__":
    main()
