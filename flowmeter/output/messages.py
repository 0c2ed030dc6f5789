"""What NetFlow v9 and IPFIX have in common: templates, records of numbers, messages of sets.

A protocol is a table of information elements for each IP version. The same table gives the template
that is sent and the layout of the records, so the two cannot differ.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from topologies.errors import InputError, Problem

MESSAGE_BYTES: Final = 1400  # with its headers below any usual MTU
SET_HEADER_BYTES: Final = 4
TEMPLATE_IDS: Final = {4: 256, 6: 257}
RESEND_AFTER: Final = 20  # messages: UDP may lose a template, and a collector may begin late
FLAGS: Final = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")  # bit 0 first
ADDRESSES: Final = ("src_ip", "dst_ip")
ENTERPRISE_BIT: Final = 0x8000

Numbers = npt.NDArray[np.generic]
Records = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Element:
    """One field of a record: our name, its number in the registry, its size, and whose number."""

    name: str
    number: int
    size: int
    enterprise: int = 0

    def described(self) -> bytes:
        """The field specifier of a template."""
        if not self.enterprise:
            return self.number.to_bytes(2) + self.size.to_bytes(2)
        number = self.number | ENTERPRISE_BIT
        return number.to_bytes(2) + self.size.to_bytes(2) + self.enterprise.to_bytes(4)

    @property
    def layout(self) -> tuple[str, str]:
        """Name and type for a numpy record; addresses are raw bytes."""
        if self.name in ("src", "dst"):
            return self.name, f"V{self.size}"
        return self.name, f">u{self.size}"


class Messages:
    """Flows to the messages of one protocol; a subclass says which.

    Time in the messages is the capture's: the latest end of a flow so far is when they are sent.
    So the same flows give the same messages, whenever that is.

    Parameters
    ----------
    schema
        Columns of the batches to come.
    domain
        Observation domain, or source id.

    Raises
    ------
    InputError
        A column that the records need is not there: the feature set lacks it.
    """

    elements: ClassVar[Mapping[int, Sequence[Element]]]
    template_set: ClassVar[int]
    header_bytes: ClassVar[int]

    def __init__(self, schema: pa.Schema, *, domain: int = 0) -> None:
        missing = [name for name in _needed() if name not in schema.names]
        if missing:
            raise InputError(
                Problem(
                    "flow meter settings",
                    path="features",
                    expected="a feature set with what a NetFlow or IPFIX record carries",
                    got=f"one without {', '.join(missing)}",
                    remedy="choose --features full or tstat",
                )
            )
        self.domain = domain
        self.now_ns = 0
        self.sequence = 0
        self._since_template = RESEND_AFTER
        self._layouts = {
            version: np.dtype([element.layout for element in elements])
            for version, elements in self.elements.items()
        }

    def messages(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        """The messages that carry the flows of a batch, templates among them as they are due."""
        if not batch.num_rows:
            return
        flows = Flows(batch)
        self.begin(flows)
        self.now_ns = max(self.now_ns, int(flows["last_ns"].max()))
        for version, layout in self._layouts.items():
            chosen = flows.of_version(version)
            records = np.zeros(len(chosen), layout)
            for name, values in chosen.ends().items():
                records[name] = values
            records = self.filled(records, chosen)
            room = MESSAGE_BYTES - self.header_bytes - SET_HEADER_BYTES
            step = room // layout.itemsize
            for at in range(0, len(records), step):
                yield from self._message(version, records[at : at + step])

    def begin(self, flows: Flows) -> None:
        """See the flows before their records are made."""

    def filled(self, records: Records, flows: Flows) -> Records:
        """The records with what the protocol adds to end points and times."""
        raise NotImplementedError

    def header(self, length: int, records: int) -> bytes:
        """The header of a message of that length with that many records (templates count)."""
        raise NotImplementedError

    def count(self, data_records: int) -> None:
        """Move the sequence number on after a message with that many data records."""
        raise NotImplementedError

    def _message(self, version: int, records: Records) -> Iterator[bytes]:
        if self._since_template == RESEND_AFTER:
            self._since_template = 0
            templates = b"".join(
                TEMPLATE_IDS[version].to_bytes(2)
                + len(elements).to_bytes(2)
                + b"".join(element.described() for element in elements)
                for version, elements in self.elements.items()
            )
            yield self._framed(self.template_set, templates, len(self.elements), data_records=0)
        self._since_template += 1
        data = records.tobytes()
        yield self._framed(TEMPLATE_IDS[version], data, len(records), data_records=len(records))

    def _framed(self, number: int, body: bytes, records: int, *, data_records: int) -> bytes:
        body += bytes(-len(body) % 4)
        size = SET_HEADER_BYTES + len(body)
        head = self.header(self.header_bytes + size, records)
        self.count(data_records)
        return head + number.to_bytes(2) + size.to_bytes(2) + body


class Flows:
    """The columns of a batch as numbers."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        def numbers(name: str) -> Numbers:
            # Arrow's own way to numpy loads pandas.
            values: Numbers = np.from_dlpack(batch.column(name))
            return values

        self._columns = {name: numbers(name) for name in _needed() if name not in ADDRESSES}
        absent = np.zeros(batch.num_rows, np.uint8)
        self._columns["tos"] = numbers("tos") if "tos" in batch.schema.names else absent
        for name in ADDRESSES:
            self._columns[name.removesuffix("_ip")] = _packed(batch.column(name))

    def __len__(self) -> int:
        return len(self._columns["first_ns"])

    def __getitem__(self, name: str) -> Numbers:
        return self._columns[name]

    def of_version(self, version: int) -> Flows:
        """Those of one IP version; addresses in full length."""
        size = 4 if version == 4 else 16
        sizes = np.fromiter(map(len, self["src"]), np.int64, len(self))
        part = Flows.__new__(Flows)
        part._columns = {name: values[sizes == size] for name, values in self._columns.items()}
        for name in ("src", "dst"):
            part._columns[name] = np.array(list(part[name]), f"V{size}")
        return part

    def ends(self) -> dict[str, Numbers]:
        """End points, protocol and class of service, as both protocols have them."""
        return {
            name: self[name] for name in ("src", "dst", "src_port", "dst_port", "protocol", "tos")
        }

    def flags(self, side: str) -> Numbers:
        """The TCP flags that a side has set in any packet."""
        seen = [self[f"{side}_{flag}_packets"].astype(np.bool_) for flag in FLAGS]
        flags: Numbers = np.packbits(np.stack(seen), axis=0, bitorder="little")[0]
        return flags


def _needed() -> list[str]:
    """Columns that a record is made of."""
    counts = ("packets", "ip_bytes", *(f"{flag}_packets" for flag in FLAGS))
    ends = (*ADDRESSES, "src_port", "dst_port", "protocol", "first_ns", "last_ns")
    return [*ends, "end_reason", *(f"{side}_{name}" for side in ("c2s", "s2c") for name in counts)]


def _packed(column: pa.Array) -> Numbers:
    """Addresses as bytes, 4 or 16 each; every distinct one is read once."""
    encoded = column.dictionary_encode()
    distinct = np.empty(len(encoded.dictionary), object)
    for at, text in enumerate(encoded.dictionary.to_pylist()):
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        distinct[at] = socket.inet_pton(family, text)
    packed: Numbers = distinct[np.from_dlpack(encoded.indices)]
    return packed
