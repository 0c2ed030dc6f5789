"""What MLflow imports to load and serve a registered STA: its payload folder and these lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from builder.novelty import UNKNOWN
from sta_registry.forecaster import FORECAST_FILE, Forecaster, load_forecaster
from sta_registry.sta import Sta, load_sta

if TYPE_CHECKING:
    import pandas as pd


class ServedSta:
    """An STA that takes and gives pandas tables, as MLflow's scoring server does."""

    def __init__(self, sta: Sta) -> None:
        self._sta = sta

    def predict(self, data: pd.DataFrame, params: object = None) -> pd.DataFrame:  # noqa: ARG002
        """Class or ``unknown``, its probability and that of each class, one row per flow."""
        import pandas as pd

        prediction = self._sta.predict(self._table(data), source="request")
        classes = self._sta.manifest.classes
        answer = pd.DataFrame(
            {
                "class": np.where(
                    prediction.unknown, UNKNOWN, np.array(classes, object)[prediction.indices]
                ),
                "probability": prediction.probabilities.max(axis=1, initial=0.0),
            }
        )
        for index, label in enumerate(classes):
            answer[f"probability_{label}"] = prediction.probabilities[:, index]
        return answer

    def _table(self, data: pd.DataFrame) -> pa.Table:
        # JSON knows fewer types than the flow table; only widths are changed here.
        manifest = self._sta.manifest
        types = {f.name: pa.type_for_alias(f.dtype) for f in manifest.features}
        if manifest.sequence is not None:
            one = pa.list_(pa.float32(), manifest.sequence.length)
            types |= dict.fromkeys(manifest.sequence.columns, one)
        names = [name for name in types if name in data]
        columns = [pa.array(data[name], from_pandas=True).cast(types[name]) for name in names]
        return pa.table(dict(zip(names, columns, strict=True)))


class ServedForecaster:
    """A forecaster that takes flows and gives what comes after them, as pandas tables."""

    def __init__(self, forecaster: Forecaster) -> None:
        self._forecaster = forecaster

    def predict(self, data: pd.DataFrame, params: object = None) -> pd.DataFrame:  # noqa: ARG002
        """One row per series and window to come, as `Forecaster.predict`."""
        flows = pa.Table.from_pandas(data, preserve_index=False)
        answer: pd.DataFrame = self._forecaster.predict(flows, source="request").to_pandas()
        return answer


def _load_pyfunc(data_path: str) -> ServedSta | ServedForecaster:
    folder = Path(data_path)
    if (folder / FORECAST_FILE).is_file():
        return ServedForecaster(load_forecaster(folder))
    return ServedSta(load_sta(folder))
