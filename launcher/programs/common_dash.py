"""DASH manifests: renditions of a title, and where their segments are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from common import PeerError

NAMESPACE = "{urn:mpeg:dash:schema:mpd:2011}"


@dataclass(frozen=True)
class Segment:
    """Where a segment is: a path, and a range of bytes of it or nothing."""

    path: str
    range: str = ""


@dataclass(frozen=True)
class Rendition:
    """One way to see, or hear, a title."""

    kbit: float
    segments: tuple[Segment, ...]
    segment_s: float


def read_manifest(text: str) -> list[list[Rendition]]:
    """The renditions of each of a manifest's tracks, the slowest first.

    Raises
    ------
    PeerError
        It is no manifest.
    """
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - the lab's own
    except ElementTree.ParseError as error:
        raise PeerError("no DASH manifest") from error
    tracks = []
    for track in root.iter(f"{NAMESPACE}AdaptationSet"):
        found = [_rendition(item) for item in track.iter(f"{NAMESPACE}Representation")]
        tracks.append(sorted(found, key=lambda rendition: rendition.kbit))
    return tracks


def _rendition(item: ElementTree.Element) -> Rendition:
    kbit = float(item.get("bandwidth", "0")) / 1_000
    template = item.find(f"{NAMESPACE}SegmentTemplate")
    if template is not None:
        lengths = list(_lengths(template))
        first = int(template.get("startNumber", "1"))
        paths = [template.get("initialization", "")]
        media = template.get("media", "")
        paths += [_numbered(media, first + number) for number in range(len(lengths))]
        named = [path.replace("$RepresentationID$", item.get("id", "")) for path in paths]
        scale = float(template.get("timescale", "1"))
        segment_s = sum(lengths) / scale / max(len(lengths), 1)
        return Rendition(kbit, tuple(Segment(path) for path in named), segment_s)
    segments = item.find(f"{NAMESPACE}SegmentList")
    if segments is None:
        raise PeerError("no segments in the manifest")
    path = item.findtext(f"{NAMESPACE}BaseURL", "")
    begin = segments.find(f"{NAMESPACE}Initialization")
    ranges = [begin.get("range", "0-999")] if begin is not None else []
    ranges += [one.get("mediaRange", "") for one in segments.iter(f"{NAMESPACE}SegmentURL")]
    length_s = float(segments.get("duration", "2")) / float(segments.get("timescale", "1"))
    return Rendition(kbit, tuple(Segment(path, one) for one in ranges), length_s)


def _lengths(template: ElementTree.Element) -> Iterator[int]:
    for step in template.iter(f"{NAMESPACE}S"):
        yield from [int(step.get("d", "1"))] * (int(step.get("r", "0")) + 1)


def _numbered(media: str, number: int) -> str:
    return re.sub(r"\$Number(?:%0(\d)d)?\$", lambda m: f"{number:0{m[1] or 1}d}", media)
