"""The model card: what an STA is for, how good it was, and when not to believe it. Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from builder.metrics import absent, rare_precision
from builder.result import Evaluation
from sta_registry.manifest import Quality, StaManifest
from sta_registry.rivals import between, carried, limits, rivals, table, unknown

NONE: Final = "-"
# One wanted flow in this many: what a monitored link sees of a rare class, and of a very rare one.
RARE: Final = (1_000, 10_000)

LIMITS: Final = (
    (
        "It learnt from traffic of a lab: real programs and protocols, but not your users, "
        "devices or links. Measure it on labelled traffic of your own before acting on it."
    ),
    (
        "A class that is rare in your network is found with lower precision than on the test run: "
        "see the last columns of the table of classes."
    ),
)


def render_card(manifest: StaManifest) -> str:
    """The model card of an STA as Markdown."""
    sections = (
        _purpose(manifest),
        _quality(manifest),
        _confusion(manifest.quality.test),
        *_elsewhere(manifest.quality),
        *rivals(manifest.quality),
        *carried(manifest.quality),
        *unknown(manifest),
        _data(manifest),
        _inputs(manifest),
        _limits(manifest),
        _use(manifest),
        _versions(manifest),
    )
    return "\n\n".join(sections) + "\n"


def _purpose(manifest: StaManifest) -> str:
    kind = {
        "multiclass": "tells which kind of traffic a flow is",
        "binary": f"tells whether a flow is {' or '.join(manifest.positive) or 'positive'}",
    }[manifest.task]
    return (
        f"# {manifest.name}\n\n"
        f"A smart traffic analyser that {kind}, from sizes, timing and flags of its packets. "
        "It reads no payload, address, port or absolute time.\n\n"
        f"Classes: {', '.join(f'`{label}`' for label in manifest.classes)}."
    )


def _quality(manifest: StaManifest) -> str:
    quality, test = manifest.quality, manifest.quality.test
    rows = []
    for index, score in enumerate(test.classes):
        rare = [rare_precision(test, index, one_in=one_in) for one_in in RARE]
        ratios = (score.precision, score.recall, score.f1)
        rows.append(
            (
                f"`{score.label}`",
                *(f"{ratio:.4f}" for ratio in ratios),
                f"{score.support:,}",
                *(NONE if one is None else f"{one:.3f}" for one in rare),
            )
        )
    header = (
        *("Class", "Precision", "Recall", "F1", "Flows"),
        *(f"Precision at 1 in {one_in:,}" for one_in in RARE),
    )
    intervals = quality.intervals
    return (
        "## Quality\n\n"
        f"On the test run, which training never saw: macro-F1 **{test.f1_macro:.4f}**"
        f"{between(intervals, 'f1_macro')}, accuracy {test.accuracy:.4f}"
        f"{between(intervals, 'accuracy')}, {test.flows:,} flows. "
        f"In validation ({quality.validation}): {quality.metric} "
        f"{quality.validation_score:.4f}.\n\n"
        f"{table(header, rows)}\n\n"
        "In brackets are 95 % intervals, by resampling activities. The last columns are the "
        "precision to expect where only one flow in so many is of the class; where the test had "
        "no false alarm, three are assumed."
    )


def _confusion(test: Evaluation) -> str:
    header = ("Truth ↓ · answer →", *(f"`{label}`" for label in test.labels))
    rows = [
        (f"`{label}`", *(f"{count:,}" for count in counts))
        for label, counts in zip(test.labels, test.confusion, strict=True)
    ]
    return f"## Confusion matrix\n\n{table(header, rows)}"


def _elsewhere(quality: Quality) -> Iterator[str]:
    """What the model is worth where the lab was another one."""
    unseen = quality.unseen
    if unseen is None:
        return
    header = ("Class", "Precision", "Recall", "F1", "Flows")
    rows = [
        (f"`{score.label}`", *(f"{r:.4f}" for r in (score.precision, score.recall, score.f1)),
         f"{score.support:,}")
        for score in unseen.classes
        if score.support
    ]  # fmt: skip
    yield (
        "## Unseen topology\n\n"
        "On runs of topologies that training saw nothing of: macro-F1 "
        f"**{unseen.f1_macro:.4f}**{between(quality.unseen_intervals, 'f1_macro')}, "
        f"accuracy {unseen.accuracy:.4f}, {unseen.flows:,} flows.{absent(unseen)}\n\n"
        f"{table(header, rows)}"
    )


def _data(manifest: StaManifest) -> str:
    origin = manifest.provenance
    rows: list[tuple[str, ...]] = [
        ("Dataset", f"`{origin.dataset}`"),
        ("SHA-256 of its `dataset.json`", f"`{origin.dataset_sha256}`"),
        ("SHA-256 of the spec", f"`{origin.spec_sha256}`" if origin.spec_sha256 else NONE),
        ("Training runs", _codes(origin.train_runs)),
        ("Test runs", _codes(origin.test_runs)),
        ("Training flows", f"{origin.train_flows:,}"),
        ("Test flows", f"{manifest.quality.test.flows:,}"),
    ]
    rows += [(f"Left out: {why}", f"{count:,}") for why, count in origin.skipped_rows.items()]
    return f"## Data\n\n{table(('What', 'Value'), rows)}"


def _inputs(manifest: StaManifest) -> str:
    parts = ["## Inputs"]
    if manifest.features:
        rows = [
            (f"`{field.name}`", field.dtype, field.unit or NONE, field.group)
            for field in manifest.features
        ]
        parts.append(table(("Feature", "Type", "Unit", "Group"), rows))
    if manifest.sequence is not None:
        parts.append(
            f"The first {manifest.sequence.length} packets as a sequence of "
            f"{_codes(manifest.sequence.columns)}."
        )
    return "\n\n".join(parts)


def _limits(manifest: StaManifest) -> str:
    every = [*LIMITS, *limits(manifest), *manifest.provenance.notes]
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in every)


def _use(manifest: StaManifest) -> str:
    return (
        "## How to use\n\n"
        "```\n"
        f"gsta analyse --model {manifest.name}@champion capture.pcap\n"
        "```\n\n"
        "This folder is the whole analyser (ONNX and JSON, no code) and can be given to `--model` "
        "in place of the name."
    )


def _versions(manifest: StaManifest) -> str:
    origin = manifest.provenance
    rows = [
        ("Model family", origin.family),
        *((f"`{name}`", f"{value}") for name, value in origin.params.items()),
        ("Seed", f"{origin.seed}"),
        ("SHA-256 of `model.onnx`", f"`{manifest.model.sha256}`"),
        *sorted(origin.versions.items()),
    ]
    return f"## Made with\n\n{table(('What', 'Value'), rows)}"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or NONE
