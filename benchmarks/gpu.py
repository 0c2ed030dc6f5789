"""How much faster a GPU trains the networks: the same code, data and seed on both.

    python benchmarks/gpu.py [rows]

Each device is a process of its own, for a backend chooses its device once. The first training
compiles; the second is timed. Without a GPU it says so, and times the processor alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

NETWORKS = ("mlp", "resann", "cnn", "lstm", "cnn_lstm")
EPOCHS, FEATURES, LENGTH, CLASSES = 3, 60, 32, 10
SETTINGS = {
    "depth": 3,
    "units": 64,
    "convolutions": 2,
    "filters": 32,
    "kernel": 3,
    "summary": 16,
    "recurrences": 2,
    "activation": "relu",
    "batch_norm": True,
    "dropout": 0.2,
    "l1": 0.0,
    "l2": 1e-4,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "batch_size": 256,
    "epochs": EPOCHS,
    "class_weight": None,
}


def measure(rows: int) -> None:
    """Print the device's kind, then for each family its name, rows trained per second and score."""
    from builder.deep.backend import load_keras
    from builder.families import Inputs, Target, families

    threads = os.cpu_count() or 1
    load_keras(threads)
    import jax

    print(jax.devices()[0].platform)
    rng = np.random.default_rng(0)
    classes = rng.integers(0, CLASSES, rows)
    table = rng.lognormal(0.3 * classes[:, None], 1, (rows, FEATURES)).astype(np.float32)
    sequences = rng.lognormal(0.3 * classes[:, None, None], 1, (rows, LENGTH, 3)).astype(np.float32)
    target = Target("classify", classes, CLASSES)
    for name in NETWORKS:
        family = families()[name]
        inputs = Inputs(table, sequences).only(family.uses)
        for _ in range(2):
            start = time.perf_counter()
            model = family.fit(inputs, target, params=SETTINGS, seed=0, threads=threads)
            seconds = time.perf_counter() - start
        right = (model.predict(inputs).argmax(axis=1) == classes).mean()
        print(name, len(model.epochs) * rows / seconds, right)


def on(platform: str, rows: int) -> list[list[str]]:
    """The lines of a measurement on ``cpu``, or on whatever the backend prefers."""
    chosen = {"JAX_PLATFORMS": "cpu"} if platform == "cpu" else {}
    command = [sys.executable, __file__, str(rows), "--here"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | chosen
    )
    return [line.split() for line in done.stdout.splitlines()]


def main() -> None:
    """Measure both and print the ratio."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    if "--here" in sys.argv:
        measure(rows)
        return
    _, *processor = on("cpu", rows)
    (kind,), *preferred = on("any", rows)
    if kind == "cpu":
        print("There is no GPU here that the backend can use; the processor alone:")
    for slow, fast in zip(processor, preferred, strict=True):
        line = f"{slow[0]:10} CPU {float(slow[1]):10.0f} rows/s, right {float(slow[2]):.3f}"
        if kind != "cpu":
            ratio = float(fast[1]) / float(slow[1])
            line += f"; {kind} {float(fast[1]):10.0f} rows/s, right {float(fast[2]):.3f}"
            line += f"; ratio {ratio:.1f}"
        print(line)


if __name__ == "__main__":
    main()
