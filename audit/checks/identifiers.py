"""D: is a feature an identifier in disguise?"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import numpy as np
import pyarrow as pa

from audit.data import AuditData, Floats, Ints, is_text, role
from audit.result import Finding, Threshold, at_most, check

IDENTIFIER: Final = re.compile(
    r"(^|_)(ports?|mac|addr|address|addresses|timestamp|epoch|date|uuid|host|hostname|user|network|"
    r"vlan|row|index)(_|$)|(^|_)(id|ip)$|^(first|last|start|stop|end|time)(_(ns|us|ms|s))?$|"
    r"^(src|dst|s|d|ds)_?(ip|port|addr)$|^[sl]time$"
)
"""Names of columns that tell where, when or who, not how."""
COUNTED: Final = re.compile(r"^(is|ct|num)_|_(count|rate|ratio|share)$")
"""Names that say what is counted or compared, and so are about how."""

GROUPS: Final = (b"identity", b"addresses", b"ports", b"time")
SAME: Final = 0.999  # share of equal rows
ALIKE: Final = 0.99  # correlation; a time of day in float32 reaches no more
MANY: Final = 50
FEW_HOSTS: Final = 5  # fewer go along with any feature that separates the services
SOME: Final = 10_000  # rows, as a rule enough to see many different values
UNIQUE: Final = 0.5  # of the rows have a text of their own


@check(
    "D1",
    "identifiers among the features: addresses, ports, absolute times, ids, row order",
    remedy="give these columns the role key, time or identity in the flow table or the mapping",
)
def identifiers(data: AuditData, allowed: Threshold) -> Finding:
    """Look at the names, and at whether values follow a key, a time, an address or the row."""
    fields = [f for f in (*data.features, *data.sequences) if f.name not in allowed.allow]
    named = [
        f"{field.name}: its name or group is an identifier's"
        for field in fields
        if _is_named(field.name) or (field.metadata or {}).get(b"group") in GROUPS
    ]
    follows, addresses = _followed_columns(data), _addresses(data)
    copies: list[str] = []
    for field in fields:
        if field in data.sequences:
            continue
        if is_text(field.type):
            copies += _telling_text(field.name, data.column(field.name))
        else:
            values = data.values(field.name)
            copies += [f"{field.name}: its values follow {n}" for n in _followed(values, follows)]
            copies += [f"{field.name}: its values name {n}" for n in _naming(values, addresses)]
    found = named + copies
    reasons = [f"{name} may be there: {why}" for name, why in allowed.allow.items()]
    return at_most(len({text.split(":")[0] for text in found}), allowed.limit, *found, *reasons)


def _is_named(name: str) -> bool:
    plain = re.sub(r"[\W_]+", "_", name.casefold()).strip("_")
    return bool(IDENTIFIER.search(plain)) and not COUNTED.search(plain)


def _followed_columns(data: AuditData) -> dict[str, Floats]:
    """Numbers of the table that no feature may be a copy of."""
    follows = {
        field.name: data.values(field.name)
        for field in data.fields
        if role(field) in (b"key", b"time", b"identity")
        and (field.metadata or {}).get(b"group") != b"protocol"
        and not is_text(field.type)
        and not pa.types.is_nested(field.type)
    }
    follows["the order of the rows"] = np.arange(len(data.label), dtype=np.float64)
    return follows


def _followed(values: Floats, follows: dict[str, Floats]) -> list[str]:
    """Which of some columns a feature is a copy of."""
    known = np.isfinite(values)
    if known.sum() < MANY or np.ptp(values[known]) == 0:
        return []
    every = bool(known.all())
    return [
        name
        for name, other in follows.items()
        if (_same(values, other) if every else _same(values[known], other[known]))
    ]


def _same(values: Floats, other: Floats) -> bool:
    """Equal in nearly all rows, or, with many values, nearly so up to scale and offset."""
    if np.isnan(other).any() or np.ptp(other) == 0:
        return False
    if np.mean(values == other) >= SAME:
        return True
    if _different(other, MANY) < MANY:
        return False  # two or three ports go along with any feature that separates the services
    return bool(abs(_correlation(values, other)) >= ALIKE)


def _correlation(values: Floats, other: Floats) -> float:
    one, two = ((side - side[0]) - (side - side[0]).mean() for side in (values, other))
    return float(one @ two / np.sqrt((one @ one) * (two @ two)))


def _different(values: Floats, enough: int) -> int:
    """How many different values there are; no more are counted once there are enough."""
    some = len(np.unique(values[:SOME]))
    return some if some >= enough or len(values) <= SOME else len(np.unique(values))


def _addresses(data: AuditData) -> dict[str, tuple[Ints, int]]:
    """Each row's address as a number, and how many there are; columns with enough of them."""
    found = {}
    for name in ("src_ip", "dst_ip"):
        if not data.has(name):
            continue
        encoded = data.column(name).combine_chunks().dictionary_encode()
        if len(encoded.dictionary) >= FEW_HOSTS and not encoded.null_count:
            codes = np.asarray(encoded.indices.to_numpy(), dtype=np.int64)
            found[name] = codes, len(encoded.dictionary)
    return found


def _naming(values: Floats, addresses: dict[str, tuple[Ints, int]]) -> list[str]:
    """Which addresses a feature stands for, one value each."""
    found: list[str] = []
    if not addresses or not np.isfinite(values).all():
        return found
    most = max(hosts for _, hosts in addresses.values())
    if _different(values, most + 1) > most:
        return found
    worth, codes = np.unique(values, return_inverse=True)
    for name, (address, hosts) in addresses.items():
        if len(worth) == hosts == len(np.unique(codes * hosts + address)):
            found.append(f"{name}, one value for each of {hosts} addresses")
    return found


def _telling_text(name: str, column: pa.ChunkedArray) -> list[str]:
    """Text that is addresses, or that hardly two rows share."""
    distinct = column.unique().drop_null()
    known = len(column) - column.null_count
    if known >= MANY and len(distinct) > UNIQUE * known:
        return [f"{name}: {len(distinct)} different texts in {known} rows"]
    some = [text.strip() for text in distinct.slice(0, MANY).to_pylist()]
    if some and all(_is_address(text) for text in some):
        return [f"{name}: its values are addresses"]
    return []


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
