"""The input and output schema that MLflow stores with an STA and enforces when it serves one.

Its types are the widest of their kind, because MLflow widens what it is given but never narrows
it, and JSON and pandas make int64 and float64. The exact types are in ``sta.json``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from flowmeter import flow_schema
from sta_registry.manifest import StaManifest

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


def signature(manifest: StaManifest) -> ModelSignature:
    """MLflow's signature: the flow table's columns in; class and probabilities out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(_widest(pa.type_for_alias(feature.dtype)), feature.name)
        for feature in manifest.features
    ]
    if manifest.sequence is not None:
        columns = flow_schema()
        for name in manifest.sequence.columns:
            kind = _widest(columns.field(name).type.value_type)
            inputs.append(ColSpec(Array(DataType[kind]), name))
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec("string", "class"),
        ColSpec("float", "probability"),
        *(ColSpec("float", f"probability_{label}") for label in manifest.classes),
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def _widest(kind: pa.DataType) -> str:
    if pa.types.is_string(kind):
        return "string"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "long" if pa.types.is_integer(kind) else "double"
