"""What a flow table says about its own origin, in the metadata of its schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import pyarrow as pa

from flowmeter.config import MeterConfig

FORMAT: Final = 2
NOT_IN_THE_ROWS: Final = ("threads",)  # settings that change how rows are made, never the rows


def described(
    schema: pa.Schema, *, run_id: str, networks: Sequence[str], config: MeterConfig
) -> pa.Schema:
    """The schema with ``format``, ``run_id``, ``networks`` and ``config`` (the last two as JSON).

    Parquet files carry it; `pyarrow.parquet.read_schema` gives it back.
    """
    settings = {
        name: value for name, value in asdict(config).items() if name not in NOT_IN_THE_ROWS
    }
    return schema.with_metadata(
        {
            "format": str(FORMAT),
            "run_id": run_id,
            "networks": json.dumps(list(networks)),
            "config": json.dumps(settings, sort_keys=True),
        }
    )
