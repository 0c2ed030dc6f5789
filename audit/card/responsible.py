"""The RAI part of the metadata: where the data is from, what it is for and what is wrong with it.

Every sentence follows from the dataset's summary and its audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from audit.card.wording import IN_NO_SPLIT
from audit.result import CheckResult
from tagger import DatasetSummary

REQUIRED: Final = tuple(
    f"rai:{name}"
    for name in (
        *("dataCollection", "dataCollectionType", "dataCollectionMissingData"),
        *("dataCollectionRawData", "dataCollectionTimeFrame", "dataPreprocessingProtocol"),
        *("dataAnnotationProtocol", "dataAnnotationAnalysis", "machineAnnotationTools"),
        *("annotationsPerItem", "annotatorDemographics", "dataUseCases", "dataBiases"),
        *("dataLimitations", "personalSensitiveInformation", "dataSocialImpact"),
        "dataReleaseMaintenancePlan",
    )
)
"""Fields of the RAI vocabulary that a whole card has."""


def responsible_use(
    summary: DatasetSummary,
    checks: Sequence[CheckResult],
    *,
    times: tuple[str, str] | None,
    released: bool,
) -> dict[str, object]:
    """The properties of the RAI extension, by their JSON-LD names."""
    return {
        "rai:dataCollection": _collection(summary),
        "rai:dataCollectionType": ["Software Collection", "Experiments"],
        "rai:dataCollectionMissingData": _missing(summary),
        "rai:dataCollectionRawData": _raw(summary),
        **({"rai:dataCollectionTimeFrame": list(times)} if times else {}),
        "rai:dataPreprocessingProtocol": [
            "Packets were metered into flows; the metadata of each column defines it.",
            (
                f"Flows were parted by {summary.splitting.by}, never row by row; "
                f"{summary.splitting.left_out} flows are in no split, because {IN_NO_SPLIT}."
            ),
        ],
        "rai:dataAnnotationProtocol": [
            (
                f"Rules '{summary.rules.name}' (SHA-256 {summary.rules.sha256}) over the journal "
                "of what the lab did; they never see the evidence that measures their labels."
            ),
        ],
        "rai:dataAnnotationAnalysis": [_accuracy(summary)],
        "rai:machineAnnotationTools": [f"gsta tag, rules '{summary.rules.name}'"],
        "rai:annotationsPerItem": "1",
        "rai:annotatorDemographics": ["No people: labels are made by rules."],
        "rai:dataUseCases": [
            "Training and testing of classifiers of network flows.",
            "Not by itself: saying how well a model does on the traffic of another network.",
        ],
        "rai:dataBiases": [_balance(summary), _setting(summary)],
        "rai:dataLimitations": _limits(checks, released=released),
        "rai:personalSensitiveInformation": [
            (
                "None of people: programs made the traffic, in a lab that reaches no other "
                "network. Addresses are of ranges reserved for benchmarks."
            )
        ],
        "rai:dataSocialImpact": (
            "Helps to find unwanted traffic; models of encrypted traffic can also be used to "
            "watch people, and should be judged by where they are put to use."
        ),
        "rai:dataReleaseMaintenancePlan": (
            "Topologies, seeds and digests are recorded, so that each run can be repeated; a "
            "changed dataset has other digests."
        ),
    }


def _collection(summary: DatasetSummary) -> str:
    runs = "; ".join(
        f"{run.run_id}: topology {run.topology}, seed {run.seed}, {run.backend}, {run.flows} flows"
        for run in summary.runs
    )
    return f"Real programs on the hosts of emulated networks, captured there. Runs: {runs}."


def _missing(summary: DatasetSummary) -> str:
    dropped = sum(
        capture.dropped_by_kernel + capture.dropped_by_interface
        for run in summary.runs
        for capture in run.captures
    )
    return (
        f"{summary.unlabelled} flows have no label and {summary.ambiguous} an ambiguous one; they "
        f"are in the dataset, in no class. {summary.duplicate_observations} further observations "
        f"of flows on other networks were left out. {dropped} packets were dropped while capturing."
    )


def _raw(summary: DatasetSummary) -> str:
    packets = sum(capture.packets for run in summary.runs for capture in run.captures)
    count = sum(len(run.captures) for run in summary.runs)
    return f"{count} packet captures of {packets} packets; they stay with the run directories."


def _accuracy(summary: DatasetSummary) -> str:
    quality = summary.quality
    if not quality.overall.checked:
        return f"The labels were not measured: {quality.note}."
    low, high = quality.overall.interval
    return (
        f"{quality.overall.agreed} of {quality.overall.checked} labels agree with what the kernel "
        f"saw of the sockets' owners: 95 % Wilson interval {100 * low:.2f} to {100 * high:.2f} %."
    )


def _balance(summary: DatasetSummary) -> str:
    counts = summary.label_counts
    total = sum(counts.values())
    shares = ", ".join(f"{name} {100 * n / total:.1f} %" for name, n in counts.items())
    return f"Shares of the labelled flows: {shares or 'none'}. They are of the lab's choosing."


def _setting(summary: DatasetSummary) -> str:
    topologies = sorted({run.topology for run in summary.runs})
    return f"The networks are {', '.join(topologies)}; other networks differ from them."


def _limits(checks: Sequence[CheckResult], *, released: bool) -> list[str]:
    verdict = "The audit released the dataset." if released else "The audit did not release it."
    failed = [
        f"{check.id} failed: {check.title}"
        + (f" ({check.value:.4g} against {check.threshold:g})" if check.value is not None else "")
        + (f"; accepted, because {check.accepted}" if check.accepted else "")
        for check in checks
        if check.verdict == "fail"
    ]
    return [verdict, *failed]
