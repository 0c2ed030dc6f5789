"""What the packaged models answer per second and core, beside the libraries that trained them.

    python benchmarks/serving.py [rows]

One thread each, processor time, native and packaged in turn within one run; the best of three.
Single flows: the median of many calls. Networks are measured against Keras' ``predict`` (single
flows) and ``predict`` with batches of 1,024 (bulk); trees against their own library.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from builder.families import Inputs, Model, Target, families
from builder.serving import OnnxModel, open_session
from builder.traversal import bulk_trees

FEATURES, LENGTH, CLASSES, TRAINED = 60, 32, 10, 8_000
BATCH, CALLS, ROUNDS = 16_384, 200, 3
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


def packaged_bulk(graph: bytes) -> Answer:
    """What ``Sta.predict`` does with many flows."""
    served = OnnxModel(graph)
    trees = bulk_trees(graph, lambda part: open_session(part, threads=1))

    def answer(inputs: Inputs) -> object:
        for start in range(0, len(inputs), BATCH):
            batch = inputs.take(np.arange(start, min(start + BATCH, len(inputs))))
            served.predict(batch) if trees is None else trees.run(batch.table())
        return None

    return answer


def rows_per_s(answer: Answer, inputs: Inputs) -> float:
    """Rows per second of processor time."""
    start = time.process_time()
    answer(inputs)
    return len(inputs) / (time.process_time() - start)


def per_flow_us(answer: Answer, inputs: Inputs) -> float:
    """Processor time of one flow, microseconds, the median of many."""
    single = [inputs.take(np.array([row])) for row in range(CALLS)]
    spent = []
    for one in single:
        start = time.process_time_ns()
        answer(one)
        spent.append((time.process_time_ns() - start) / 1e3)
    return statistics.median(spent)


def main() -> None:
    """Train each family once, then measure."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    every, _ = flows(rows)
    training, target = flows(TRAINED)
    print("family         per flow: native  packaged  ratio   flows/s: native  packaged  ratio  KB")
    for name, params in PARAMS.items():
        family = families()[name]
        model = family.fit(training.only(family.uses), target, params=params, seed=0, threads=1)
        graph, seen = model.export(), every.only(family.uses)
        native, packaged, bulk = native_answer(model), OnnxModel(graph), packaged_bulk(graph)
        warm = seen.take(np.arange(min(rows, BATCH)))
        for answer in (native, packaged.predict, bulk):
            answer(warm)
            answer(seen.take(np.array([0])))
        slow, fast = per_flow_us(native, seen), per_flow_us(packaged.predict, seen)
        pairs = [(rows_per_s(native, seen), rows_per_s(bulk, seen)) for _ in range(ROUNDS)]
        before, after = (max(side) for side in zip(*pairs, strict=True))
        print(
            f"{name:14} {slow:13.1f} us {fast:6.1f} us {slow / fast:6.1f} "
            f"{before:16.0f} {after:9.0f} {after / before:6.2f} {len(graph) / 1024:5.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
