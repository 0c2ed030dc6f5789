"""What the packaged models answer per second and core, beside the libraries that trained them.

    python -m benchmarks.serving [--rows 16384] [--families lstm,xgboost]

One thread each and processor time, so other work on the machine disturbs little; native and
packaged take turns, and a ratio is the median of the turns' ratios. Networks are measured against
Keras' ``predict``, in bulk with batches of 1,024; trees against their own library. About two
minutes on a quiet core, most of them training.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks.timing import publish
from builder.families import Inputs, Model, Target, families
from builder.serving import BULK_ROWS, OnnxModel

COMMAND: Final = "python -m benchmarks.serving"
FEATURES, LENGTH, CLASSES, TRAINED = 60, 32, 10, 8_000
BATCH, CALLS, TURNS = 16_384, 20, 5
FORESTS: Final = ("random_forest", "extra_trees")
NETWORK = {
    "depth": 2,
    "units": 64,
    "convolutions": 2,
    "filters": 32,
    "kernel": 3,
    "summary": 16,
    "recurrences": 1,
    "activation": "relu",
    "batch_norm": True,
    "dropout": 0.2,
    "l1": 0.0,
    "l2": 0.0,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "batch_size": 256,
    "epochs": 1,
    "class_weight": None,
}
FOREST = {
    "n_estimators": 100,
    "max_depth": 16,
    "min_samples_leaf": 1,
    "max_features": "sqrt",
    "criterion": "gini",
    "class_weight": None,
}
BOOSTED = {
    "rounds": 100,
    "max_depth": 6,
    "learning_rate": 0.2,
    "min_child_weight": 1.0,
    "subsample": 1.0,
    "colsample_bytree": 1.0,
    "reg_lambda": 1.0,
    "class_weight": None,
}
PARAMS = {
    "random_forest": FOREST,
    "extra_trees": FOREST,
    "xgboost": BOOSTED,
    "logistic": {"C": 1.0, "class_weight": None},
    **dict.fromkeys(("mlp", "resann", "cnn", "lstm", "cnn_lstm"), NETWORK),
}

Answer = Callable[[Inputs], object]


def flows(rows: int) -> tuple[Inputs, Target]:
    """Flows of overlapping classes, with sequences of every length."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, CLASSES, rows)
    table = rng.lognormal(0.1 * classes[:, None], 1, (rows, FEATURES)).astype(np.float32)
    sequences = rng.lognormal(0.1 * classes[:, None, None], 1, (rows, LENGTH, 3))
    sequences[np.arange(LENGTH) >= rng.integers(1, LENGTH + 1, (rows, 1))] = 0
    return Inputs(table, sequences.astype(np.float32)), Target("classify", classes, CLASSES)


def native_answer(model: Model) -> Answer:
    """What a user of the library would call."""
    network = getattr(model, "network", None)
    if network is None:
        return model.predict

    def predict(inputs: Inputs) -> object:
        named = {"features": inputs.features, "sequences": inputs.sequences}
        feed = {name: array for name, array in named.items() if array is not None}
        return network.predict(feed, batch_size=1024, verbose=0)

    return predict


def packaged_answer(graph: bytes) -> Answer:
    """What ``Sta.predict`` does, once it has answered some flows."""
    served = OnnxModel(graph)

    def answer(inputs: Inputs) -> object:
        for start in range(0, len(inputs), BATCH):
            served.predict(inputs.take(np.arange(start, min(start + BATCH, len(inputs)))))
        return None

    return answer


def per_flow_us(answer: Answer, flows: list[Inputs]) -> float:
    """Processor time of one flow, asked about one by one: the median, microseconds."""
    spent = []
    for one in flows:
        start = time.process_time_ns()
        answer(one)
        spent.append((time.process_time_ns() - start) / 1e3)
    return statistics.median(spent)


def bulk_us(answer: Answer, inputs: Inputs) -> float:
    """Processor time of one flow among many, microseconds."""
    start = time.process_time_ns()
    answer(inputs)
    return (time.process_time_ns() - start) / 1e3 / len(inputs)


Pair = tuple[float, float]


def in_turn(measure: Callable[[Answer], float], native: Answer, packaged: Answer) -> list[Pair]:
    """Both, again and again."""
    return [(measure(native), measure(packaged)) for _ in range(TURNS)]


def ratio(pairs: list[Pair]) -> float:
    """How many times as fast the packaged model is."""
    return statistics.median(native / packaged for native, packaged in pairs)


def bars(name: str) -> tuple[str, str]:
    """Least ratio that is asked of a family: of a flow alone, in bulk."""
    if name == "logistic":
        return "", ""
    if name in FORESTS:
        return "50", "1"
    return ("", "1") if name == "xgboost" else ("10", "0.7")


def measured(name: str, training: Inputs, target: Target, every: Inputs) -> list[object]:
    """A line of the table."""
    family = families()[name]
    inputs = training.only(family.uses)
    model = family.fit(inputs, target, params=PARAMS[name], seed=0, threads=1)
    graph, seen = model.export(), every.only(family.uses)
    native, packaged = native_answer(model), packaged_answer(graph)
    single = [seen.take(np.array([row])) for row in range(CALLS)]
    for answer in (native, packaged):
        answer(seen.take(np.arange(BULK_ROWS)))
        answer(single[0])
    alone = in_turn(lambda answer: per_flow_us(answer, single), native, packaged)
    together = in_turn(lambda answer: bulk_us(answer, seen), native, packaged)
    (slow, fast), (slow_bulk, fast_bulk) = map(_least, (alone, together))
    alone_bar, together_bar = bars(name)
    return [
        name, slow, fast, ratio(alone), alone_bar,
        1e6 / slow_bulk, 1e6 / fast_bulk, ratio(together), together_bar, len(graph) / 1024,
    ]  # fmt: skip


def _least(pairs: list[Pair]) -> Pair:
    return min(native for native, _ in pairs), min(packaged for _, packaged in pairs)


def main() -> None:
    """Train each family once, then measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=BATCH)
    options.add_argument("--families", default=",".join(PARAMS))
    chosen = options.parse_args()
    every, _ = flows(max(chosen.rows, BULK_ROWS))
    training, target = flows(TRAINED)
    rows = []
    for name in chosen.families.split(","):
        rows.append(measured(name, training, target, every))
        print(*rows[-1], flush=True)
    columns = (
        "family", "a flow alone, native µs", "packaged µs", "ratio", "bar",
        "in bulk, native flows/s", "packaged flows/s", "ratio", "bar", "KB",
    )  # fmt: skip
    publish("Packaged models, one thread", COMMAND, columns, rows)


if __name__ == "__main__":
    main()
