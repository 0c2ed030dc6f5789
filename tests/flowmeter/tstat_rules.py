"""What Tstat does otherwise than the flow meter: rules that its twin can leave out, one by one.

A difference between the two is explained by a rule if the twin gives Tstat's value with it and the
meter's value without it, for that very flow and column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

ANY: Final = ("flow",)  # a rule that decides which packets there are: every column may differ
KINDS: Final = (
    "pkts_rto", "pkts_fs", "pkts_reor", "pkts_dup", "pkts_unk", "pkts_fc", "pkts_unrto",
    "pkts_unfs",
)  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """True: as Tstat does."""

    wlan: bool = True
    one_tag: bool = True
    unchecked_lengths: bool = True
    any_ip_id: bool = True
    sample_deviation: bool = True
    first_piece: bool = True
    zero_is_none: bool = True
    counted_flags: bool = True
    new_syn: bool = True
    scaled_syn: bool = True
    last_scale: bool = True
    last_ack: bool = True
    other_ack: bool = True
    no_reset: bool = True

    def without(self, names: tuple[str, ...]) -> Rules:
        """The rules with some left out."""
        return replace(self, **dict.fromkeys(names, False))


@dataclass(frozen=True)
class Reason:
    """Columns (without their side) in which a rule may show, and what the rule is."""

    columns: tuple[str, ...]
    text: str


REASONS: Final = {
    "wlan": Reason(ANY, "Tstat reads 802.11 frames whose header has 24 bytes, the meter none"),
    "one_tag": Reason(ANY, "Tstat skips one VLAN tag and loses frames with two"),
    "unchecked_lengths": Reason(
        ANY, "Tstat believes lengths beyond those of the header around them; the meter rejects them"
    ),
    "any_ip_id": Reason(
        KINDS,
        "Tstat takes an IP identification of 0 for one like any other, and in IPv6 what stands at "
        "its place, the payload length; here both tell nothing",
    ),
    "sample_deviation": Reason(
        KINDS, "Tstat's time-out is made of the sample's standard deviation, 0 for two round trips"
    ),
    "first_piece": Reason(
        KINDS, "of the segments that one packet sends again, Tstat notes the time of the first only"
    ),
    "zero_is_none": Reason(
        ("rtt_min",), "Tstat takes a least round trip of 0 us for none, and the next one instead"
    ),
    "counted_flags": Reason(
        ("bytes_retx", "bytes_uniq"),
        "Tstat takes the second SYN or FIN for one sent again, wherever it stands, "
        "and the first one for none",
    ),
    "new_syn": Reason(
        ("syn_retx",),
        "Tstat's column tells whether a SYN or FIN came again with another number, ours how many "
        "SYNs came again with the same one",
    ),
    "scaled_syn": Reason(
        ("win_max", "win_min"),
        "Tstat scales the window of a SYN that comes again; RFC 7323 does not",
    ),
    "last_ack": Reason(
        ("cwin_max", "cwin_min"),
        "Tstat counts what is in flight from the last acknowledgement, the meter from the highest; "
        "and for every packet, also those without data",
    ),
    "last_scale": Reason(
        ("win_max", "win_min", "win_scl"),
        "Tstat takes a window scale from any packet, above 14 too, and forgets it at a packet "
        "without SYN as long as not both sides have offered one",
    ),
    "other_ack": Reason(
        ("cwin_ini",),
        "to Tstat any acknowledgement but that of the SYN is one of data, also one before the SYN",
    ),
    "no_reset": Reason(("first_ack",), "Tstat's first acknowledgement is never a reset"),
}
