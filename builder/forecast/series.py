"""From a flow table to time series: bytes, packets or flows of each window, per service or host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from topologies.errors import InputError, Problem

PROTOCOLS: Final = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}
MEASURES: Final = {"bytes": "ip_bytes", "packets": "packets"}

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Series:
    """Series over the same windows, the largest first.

    ``values`` [series, windows] are sums over ``window_s`` seconds each, from ``start_ns`` on.
    """

    names: tuple[str, ...]
    values: Doubles
    start_ns: int
    window_s: float

    def keep(self, names: tuple[str, ...]) -> Series:
        """Only these, in this order; one that never occurred is 0 throughout."""
        values = np.zeros((len(names), self.values.shape[1]))
        for place, name in enumerate(names):
            if name in self.names:
                values[place] = self.values[self.names.index(name)]
        return Series(names, values, self.start_ns, self.window_s)


def columns_for(of: str, per: str) -> list[str]:
    """Columns of the flow table that such series are made of."""
    sums = [f"{side}_{MEASURES[of]}" for side in ("c2s", "s2c")] if of in MEASURES else []
    entity = {"service": ["protocol", "dst_port"], "host": ["src_ip"], "network": ["network"]}
    return ["first_ns", "last_ns", *sums, *entity.get(per, [])]


def traffic_series(
    flows: pa.Table,
    *,
    of: Literal["bytes", "packets", "flows"],
    per: Literal["service", "host", "network", "all"],
    window_s: float,
    most: int,
    file: str = "flow table",
) -> Series:
    """Sum flows up in windows.

    Bytes and packets of a flow are spread evenly over its duration; a flow counts where it
    begins. Time starts with the first flow and ends with the window in which the last one begins.

    Raises
    ------
    InputError
        A column is missing, or there are no flows.
    """
    missing = [name for name in columns_for(of, per) if name not in flows.column_names]
    if missing or not len(flows):
        raise InputError(
            Problem(
                file,
                ", ".join(missing),
                "flows with these columns",
                "none",
                "give a flow table of 'gsta meter'",
            )
        )
    first, last = (flows[name].to_numpy().astype(np.int64) for name in ("first_ns", "last_ns"))
    width_ns, start_ns = int(window_s * 1e9), int(first.min())
    windows = int((first.max() - start_ns) // width_ns) + 1
    names, entity = _entities(flows, per)
    begin = (first - start_ns) // width_ns
    values = np.zeros((len(names), windows))
    if of == "flows":
        np.add.at(values, (entity, begin), 1.0)
    else:
        both = (flows[f"{side}_{MEASURES[of]}"].to_numpy() for side in ("c2s", "s2c"))
        amount = np.sum([one.astype(np.float64) for one in both], axis=0)
        times = (first - start_ns, last - start_ns)
        _spread(values, entity, amount, times=times, width_ns=width_ns)
    order = np.argsort(-values.sum(axis=1), kind="stable")[:most]
    return Series(tuple(names[place] for place in order), values[order], start_ns, window_s)


def _entities(flows: pa.Table, per: str) -> tuple[list[str], Ints]:
    """The name of each series, and the series of each flow."""
    if per == "all":
        return ["all"], np.zeros(len(flows), dtype=np.int64)
    if per == "service":
        pairs = zip(flows["protocol"].to_pylist(), flows["dst_port"].to_pylist(), strict=True)
        texts = pa.array([f"{PROTOCOLS.get(kind, kind)} {port}" for kind, port in pairs])
    else:
        texts = flows["src_ip" if per == "host" else "network"].combine_chunks()
    coded = pc.dictionary_encode(texts.cast(pa.string()))
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def _spread(
    values: Doubles, entity: Ints, amount: Doubles, *, times: tuple[Ints, Ints], width_ns: int
) -> None:
    """Add each flow's amount to the windows that it touches, by the time that it spent in each."""
    first, last = times[0], np.maximum(times[1], times[0] + 1)
    begin = first // width_ns
    count = (last - 1) // width_ns - begin + 1
    flow = np.repeat(np.arange(len(first)), count)
    window = begin[flow] + np.arange(len(flow)) - np.repeat(np.cumsum(count) - count, count)
    shared = np.minimum(last[flow], (window + 1) * width_ns) - np.maximum(
        first[flow], window * width_ns
    )
    share = shared / (last - first)[flow]
    inside = window < values.shape[1]
    places = (entity[flow][inside], window[inside])
    np.add.at(values, places, (amount[flow] * share)[inside])
