"""The reference page of the audit: written from the checks, the thresholds and the mappings."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingOf
from pathlib import Path
from typing import Final

from pydantic.fields import FieldInfo

from audit.checks import all_checks
from audit.mapping import Column, Mapping, load_mapping, shipped
from audit.needs import wording
from audit.result import THRESHOLDS, Check, Threshold, load_thresholds
from audit.suggest import ADVICE, WITHOUT

PAGE: Final = Path("docs/audit.md")
SEVERITIES: Final = {"B": "blocks", "W": "warns", "I": "informs"}
Limits = MappingOf[str, Threshold]
GROUPS: Final = {
    "A": "Capture", "B": "Flow meter", "C": "Labels", "D": "Shortcuts", "E": "Splits",
    "F": "Diversity", "G": "Realism", "H": "Provenance",
}  # fmt: skip

OPENING: Final = """\
# The audit

`gsta audit DATASET` checks a dataset, writes `audit.json` (one record a check: id, severity,
value, threshold, verdict, evidence, remedy) and the audit part of the card, and ends with exit
code 4 if a check that blocks has failed. `gsta build` audits between tagging and searching, and
stops there. A failure that is lived with is accepted by name and reason, which the card shows:
`gsta audit DATASET --accept F1 --because "…"`, or `accept_checks` in a spec.

Limits and severities are those of `audit/thresholds.yaml`; `--thresholds FILE` takes another one,
which names every check. In it, `allow` lists features that may fail D1, D2 or D3, each with the
reason why: `allow: {c2s_ttl_min: the scanner's stack is what we detect}`; for D2 also
`CLASS/FEATURE`.

Checks of captures, flow meter, attacks and origin need no run directory. While it is at hand, at
the writing of the dataset, its captures are read once more: each packet is looked at and metered
by the path of a live capture, and what there is to say is kept in `facts/RUN.json`, with what the
launcher noted of clocks and load. Where nothing was at hand (an older dataset, packets that were
metered while the lab ran and not kept) such a check says that it was not judged, and why.

Checks that train models do so on a sample of at most 16,000 flows, of each class and split its
share, drawn with a fixed seed; an audit of the same files says the same. The full model is a
forest of 60 extremely randomised trees on ranks, which are learnt from the training rows. A class
with fewer than 8 flows to train on is left out, and named.

A failed check says in `audit.json` which `changes` of topology and spec would help, or why none
does (`no_change`); `gsta audit DATASET --suggest` puts them together as a patch. [The closed
loop](closed-loop.md) says what is done with it.

## Somebody else's flows

```console
$ gsta audit --flows Monday.csv --flows Friday.csv --mapping cic-ids2017
$ gsta audit --flows KDDTrain+.txt.gz --test-flows KDDTest+.txt.gz \\
    --mapping nsl-kdd --out audit.json
$ gsta audit --flows mine.csv --label-column Label --split-column part
```

CSV (also compressed) and Parquet files. Several files of `--flows` are several runs; with
`--test-flows` the others are the training split. Without a split, checks that train models hold
30 % of the rows back, at random. Checks that need to know how the flows were made say
`not_applicable` and why. Nothing is written but what `--out` names.

Without a mapping every column but those of labels and splits is a feature, and check D1 says
which of them look like identifiers. A mapping is a YAML file, or the name of one that ships:
"""

FORM: Final = """\
```yaml
name: mine
missing: ["-"]                  # texts that mean unknown, besides an empty one
suffixes: {K: 1.0e+3, M: 1.0e+6}  # "1.2 M" is a number
benign: [normal]                # for checks that ask what is malicious
unlabelled: [unknown]           # labels that say that there is none
rename_labels: {Backdoors: Backdoor}  # the only way in which labels change; counted and reported
columns:                        # the first entry that fits, by name or pattern
  class: {role: label}
  Src IP Addr: {role: key, group: addresses, means: src_ip}
  "*IAT*": {group: timing}      # a feature, of this group
  comment: {role: ignore}
```
"""


def page() -> str:
    """The page's text."""
    checks = all_checks()
    limits = load_thresholds(THRESHOLDS, known=checks)
    return "\n".join([OPENING, *_mappings(), FORM, *_keys(), *_checks(checks.values(), limits)])


def _mappings() -> Iterator[str]:
    rows = []
    for name in shipped():
        mapping = load_mapping(name).model
        rows.append((f"`{name}`", mapping.about, mapping.source))
    yield from _table(("mapping", "for", "published at"), rows)


def _keys() -> Iterator[str]:
    for what, model in (("Keys of a mapping", Mapping), ("Keys of a column", Column)):
        yield f"### {what}\n"
        yield from _table(
            ("key", "default", "meaning"),
            (
                (
                    f"`{name}`",
                    _default(field),
                    field.description or "",
                )
                for name, field in model.model_fields.items()
            ),
        )
    yield (
        "A column's role is `feature`, `identity`, `key`, `time`, `label`, `split` or `ignore`, or "
        "says where\na row is from: `run`, `host`, `topology`, `tool`, `command`, `impairment`. "
        "Only features are judged\nas what a model sees. `means` gives the column our name for it, "
        "by which checks find packets, bytes,\naddresses and times.\n"
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    return f"`{value}`" if value not in ("", (), {}) else "none"


def _checks(checks: Iterable[Check], limits: Limits) -> Iterator[str]:
    yield "## The checks\n"
    group = ""
    for check in checks:
        if check.id[0] != group:
            group = check.id[0]
            yield f"### {group}: {GROUPS[group]}\n"
        yield from _check(check, limits[check.id])


def _check(check: Check, threshold: Threshold) -> Iterator[str]:
    also = "".join(f", {name} {value:g}" for name, value in threshold.also.items())
    yield f"#### {check.id}: {check.title}\n"
    yield f"- {SEVERITIES[threshold.severity]}, limit {threshold.limit:g}{also}"
    yield f"- How: {' '.join((inspect.getdoc(check.measure) or '').split())}"
    if check.needs:
        yield f"- Does not apply where: {'; '.join(wording(need) for need in check.needs)}."
    yield f"- Remedy: {check.remedy}."
    if check.id in ADVICE:
        yield f"- Proposes: {' '.join((inspect.getdoc(ADVICE[check.id]) or '').split())}"
    else:
        yield f"- Proposes no change: {WITHOUT[check.id]}."
    if threshold.why:
        yield f"- Why so mild: {threshold.why}"
    yield ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    yield from (
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows
    )
    yield ""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
