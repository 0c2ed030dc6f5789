"""Machine code on disk: found again, without the compiler; never trusted when it does not fit."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest

from flowmeter import meter
from flowmeter.core import jit
from flowmeter.core.elf import UnlinkableError, flat
from flowmeter.core.jit import Loop, compiled, helper
from flowmeter.core.layout import FLOW, Integers, Records
from flowmeter.core.machine import Code, _digest, _packed
from tests.flowmeter.conftest import Lab, down, pcap_bytes, tcp, up

NUMBERS = np.arange(10)
TOTAL = 285  # of their squares
IN_FILES = pytest.mark.skipif(not jit.RUNS, reason="this machine runs no code from files")


@helper
def square(number: int) -> int:
    return number * number


def summed(numbers: Integers) -> int:
    total = 0
    for number in numbers:
        total += square(number)
    return total


def powers(numbers: Integers) -> float:
    """Calls the mathematics library, which is outside of the code."""
    total = 0.0
    for number in numbers:
        total += math.exp(square(number)) if number < 3 else 0.0
    return total


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where code is kept in this test, and nothing yet."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path


@IN_FILES
def test_later_processes_need_no_compiler(lab: Lab) -> None:
    capture = lab.file(pcap_bytes([up(0, tcp("S")), down(0.1, tcp("SA"))]))
    script = (
        "import sys, flowmeter\n"
        f"print(len(flowmeter.meter({str(capture)!r}).table))\n"
        "print(*sorted({'numba', 'llvmlite'} & set(sys.modules)))"
    )
    assert len(meter(capture).table) == 1  # what this compiles is kept
    later = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert later.stdout.split() == ["1"]


def test_each_result_is_what_python_computes(folder: Path) -> None:
    @compiled
    def described(numbers: Integers, scale: np.uint64, down: bool) -> tuple[int, np.uint64, bool]:
        return len(numbers) + numbers[1], scale, not down

    largest = np.uint64(2**64 - 1)
    assert described(NUMBERS, largest, True) == (11, 2**64 - 1, False)
    assert described(NUMBERS, largest, False) == (11, 2**64 - 1, True)
    assert len(list(folder.iterdir())) == jit.RUNS


@IN_FILES
def test_long_copies_need_nothing_outside(folder: Path) -> None:
    @compiled
    def cloned(flows: Records, numbers: Integers) -> None:
        flows[1] = flows[0]
        for place in range(len(numbers)):
            numbers[place] = 0

    flows, numbers = np.zeros(3, FLOW), np.arange(1000)
    flows[0] = np.frombuffer(bytes(range(250)) + bytes(FLOW.itemsize - 250), FLOW)[0]
    cloned(flows, numbers[1:-1])
    assert flows[1] == flows[0] != flows[2]
    assert numbers[[0, -1]].tolist() == [0, 999]
    assert not numbers[:-1].any()
    assert list(folder.glob("*.code"))


@IN_FILES
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:0],
        lambda data: data[:-8],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
        lambda data: b"not what is expected\n" + data,
        lambda _: _packed("of other sources", Code(b"", 0, (), "")),
        lambda _: _digest(b"one line\n") + b"one line\n",
    ],
    ids=["empty", "cut", "code flipped", "head flipped", "foreign", "other sources", "other form"],
)
def test_what_does_not_fit_is_compiled_anew(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    assert Loop(summed)(NUMBERS) == TOTAL
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert Loop(summed)(NUMBERS) == TOTAL
    assert file.read_bytes() == whole


@IN_FILES
def test_what_fits_is_not_compiled_anew(folder: Path) -> None:
    assert Loop(summed)(NUMBERS) == TOTAL
    again = Loop(summed)
    assert again(NUMBERS) == TOTAL
    assert "dispatcher" not in vars(again)
    assert again.signatures == [("Array",)]


@IN_FILES
def test_code_needs_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/proc/nowhere")
    loop = Loop(summed)
    assert loop(NUMBERS) == TOTAL
    assert loop(NUMBERS[3:]) == TOTAL - 5
    assert loop.signatures == [("Array",)]


@IN_FILES
def test_several_processes_may_compile_at_once(folder: Path) -> None:
    script = (
        "import numpy as np\n"
        "from flowmeter.core.recent import new_recent, grown_recent\n"
        "print(len(grown_recent(new_recent(1, 4)).openings))"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [run.communicate()[0].strip() for run in runs] == ["8", "8"]
    assert [run.returncode for run in runs] == [0, 0]
    assert [file.suffix for file in folder.iterdir()] == [".code"]


@IN_FILES
def test_numba_compiles_for_others_as_before(folder: Path) -> None:
    """Also with what it has compiled as a part of our code, such as the search in a tuple."""

    @compiled
    def squares(numbers: Integers) -> int:
        found = 0
        for number in numbers:
            if number in (1, 4, 9):
                found += 1
        return found

    assert squares(NUMBERS) == 3
    is_square = numba.njit(lambda number: number in (1, 4, 9))
    assert [number for number in NUMBERS if is_square(number)] == [1, 4, 9]


def test_code_that_calls_something_outside_is_left_to_numba(folder: Path) -> None:
    loop = Loop(powers)
    assert loop(NUMBERS) == pytest.approx(1 + math.e + math.exp(4))
    assert not list(folder.glob("*.code"))


def test_other_machines_leave_it_to_numba(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(jit, "RUNS", False)
    assert Loop(summed)(NUMBERS) == TOTAL
    assert not list(folder.glob("*.code"))


def test_code_of_another_machine_is_not_linked() -> None:
    arm = b"\x7fELF" + bytes(14) + b"\xb7\x00" + bytes(44)
    with pytest.raises(UnlinkableError, match="another machine"):
        flat(arm, "summed")


@pytest.mark.parametrize("numbers", [NUMBERS[::2], np.broadcast_to(NUMBERS, (2, 10))])
def test_arrays_must_be_plain(numbers: Integers) -> None:
    with pytest.raises(TypeError, match="contiguous"):
        Loop(summed)(numbers)


def test_numbers_must_be_whole() -> None:
    with pytest.raises(TypeError, match="float"):
        Loop(square)(1.5)
