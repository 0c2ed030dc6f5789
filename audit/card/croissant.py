"""`croissant.json`: the dataset in the words of MLCommons Croissant 1.0, with its RAI extension.

Written as plain JSON-LD: the library of that name is for reading, and checks it in the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from audit.card.responsible import responsible_use
from audit.data import AuditData
from audit.result import CheckResult
from tagger.summary import ACTIVITIES_FILE, LABELS_FILE, SPLITS_FILE

CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The standard's own, as it has to be."""

FLOW_TABLES: Final = "flow-tables"
TABLES: Final = {
    "labels": (LABELS_FILE, "What each flow is and why; one row per flow, in their order."),
    "splits": (SPLITS_FILE, "The run and the split of each flow; one row per flow."),
    "activities": (ACTIVITIES_FILE, "The sessions that made the flows, from the journals."),
}
FORMATS: Final = {".parquet": "application/x-parquet", ".yaml": "application/yaml"}


def croissant(
    folder: Path | None, data: AuditData, checks: Sequence[CheckResult], *, released: bool
) -> dict[str, object]:
    """The metadata of a dataset as JSON-LD; what is in its folder, if it has one, besides flows."""
    summary = data.summary
    times = _times(data)
    said = "released by its audit" if released else "NOT released by its audit"
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": summary.name,
        "description": (
            f"{summary.flows} labelled network flows of {len(summary.runs)} runs of emulated "
            f"networks, {said}. Classes: {', '.join(summary.label_counts)}."
        ),
        "keywords": ["network traffic", "flows", "labelled", *summary.label_counts],
        "isLiveDataset": False,
        **({"dateCreated": times[1]} if times else {}),
        **responsible_use(summary, checks, times=times, released=released),
        "distribution": [
            *(_file(name, digest) for name, digest in summary.files.items()),
            {
                "@type": "cr:FileSet",
                "@id": FLOW_TABLES,
                "name": FLOW_TABLES,
                "description": "The flow tables, a file per run.",
                "encodingFormat": FORMATS[".parquet"],
                "includes": "flows/*/*.parquet",
            },
        ],
        "recordSet": [
            _records("flows", "Flows with features and packet sequences.", data.fields,
                     {"fileSet": {"@id": FLOW_TABLES}}),
            *(
                _records(name, about, pq.read_schema(folder / file),
                         {"fileObject": {"@id": file}})
                for name, (file, about) in TABLES.items()
                if folder and file in summary.files
            ),
        ],
    }  # fmt: skip


def _file(name: str, digest: str) -> dict[str, object]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": FORMATS.get(Path(name).suffix, "application/octet-stream"),
        "sha256": digest,
    }


def _records(
    name: str, about: str, schema: Iterable[pa.Field], source: dict[str, object]
) -> dict[str, object]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": about,
        "field": [_field(name, field, source) for field in schema],
    }


def _field(records: str, field: pa.Field, source: dict[str, object]) -> dict[str, object]:
    meta = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    words = [meta.get("definition", ""), f"unit {meta['unit']}" if meta.get("unit") else ""]
    about = "; ".join(word for word in words if word)
    kind, repeated = field.type, False
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        kind, repeated = kind.value_type, True
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{field.name}",
        "name": field.name,
        **({"description": about} if about else {}),
        "dataType": _data_type(kind),
        **({"repeated": True} if repeated else {}),
        "source": {**source, "extract": {"column": field.name}},
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"


def _times(data: AuditData) -> tuple[str, str] | None:
    """First and last packet as ISO 8601, to the second."""
    if not len(data.label) or not data.has("first_ns", "last_ns"):
        return None
    ends = (int(data.values("first_ns").min()), int(data.values("last_ns").max()))
    first, last = (
        datetime.fromtimestamp(ns // 10**9, tz=UTC).isoformat(timespec="seconds") for ns in ends
    )
    return first, last
