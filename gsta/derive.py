"""A spec and its topologies with the changes of a patch: new documents, the old ones stay.

They are ordinary files below a build's folder, ``spec.yaml`` and ``topologies/NAME.yaml``, read by
the ordinary loader: ``gsta build`` takes them like any other.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from audit.changes import Change, changed, found
from audit.patch import yaml_text
from gsta.labs import shortened
from gsta.order import Order, load_spec
from gsta.spec import Spec
from topologies import Topology
from topologies.document import Document, Location, Source, validate
from topologies.errors import InputError
from topologies.files import write_text
from topologies.loader import library, topology_of

SPEC: Final = "spec.yaml"
TOPOLOGIES: Final = "topologies"


def derive(
    order: Order, changes: Sequence[Change], folder: Path, *, patch: Source | None = None
) -> Order:
    """Write spec and topologies with the changes below ``folder``, and read them.

    A topology is changed as the spec plays it: where the spec says how long runs last, the phases
    that are written last so long, and the spec no longer says it. Changes that are refused leave
    nothing of this in ``folder``, nor the folder if there is nothing else in it.

    Parameters
    ----------
    patch
        The file that the changes are from, for messages.

    Raises
    ------
    InputError
        A change is of another spec or topology, or does not fit what stands there; or what comes of
        it is no sound spec or topology.
    """
    try:
        return _derived(order, changes, folder, patch)
    except BaseException:
        (folder / SPEC).unlink(missing_ok=True)
        shutil.rmtree(folder / TOPOLOGIES, ignore_errors=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise


def _derived(order: Order, changes: Sequence[Change], folder: Path, patch: Source | None) -> Order:
    _check_names(order, changes, patch)
    spec, seconds = order.spec.model, order.spec.model.experiments.seconds
    rescaled = seconds if any(one.document == "topology" for one in changes) else None
    places = {
        key: [
            _topology(document, name, changes, folder, seconds=rescaled, patch=patch)
            for document, name in zip(documents, names, strict=True)
        ]
        for key, documents, names in (
            ("topology", order.topologies, spec.topologies),
            ("unseen", order.unseen, spec.unseen),
        )
    }
    of_spec = [one for one in changes if one.document == "spec"]
    values = _changed(order.spec, of_spec, patch)
    values["topology"] = places["topology"][0] if len(spec.topologies) == 1 else places["topology"]
    if spec.unseen:
        values["unseen"] = places["unseen"]
    if _is_file(spec.rules):
        values["rules"] = str((order.spec.folder / spec.rules).absolute())
    if rescaled is not None:
        values["experiments"] = {k: v for k, v in values["experiments"].items() if k != "seconds"}
    validate(Source(_name(patch), values, {}), Spec)
    _write(folder / SPEC, values, f"{order.spec.source.file}, changed")
    return load_spec(folder / SPEC)


def same(one: Order, other: Order) -> bool:
    """Whether two orders play the same topologies and build alike."""
    left, right = (
        (
            order.spec.model.model_copy(
                update={"topology": "", "unseen": (), "rules": "", "experiments": None}
            ),
            [document.model for document in _played(order)],
        )
        for order in (one, other)
    )
    return left == right


def _played(order: Order) -> list[Document[Topology]]:
    seconds = order.spec.model.experiments.seconds
    every = [*order.topologies, *order.unseen]
    return [shortened(one, seconds) if seconds else one for one in every]


def _check_names(order: Order, changes: Iterable[Change], patch: Source | None) -> None:
    known = {
        "spec": [order.spec.model.name],
        "topology": [one.model.name for one in (*order.topologies, *order.unseen)],
    }
    problems = [
        Source(_name(patch), {}, patch.lines if patch else {}).problem(
            ("changes", number, "name"),
            expected=f"the {change.document} {' or '.join(known[change.document])}",
            got=f"'{change.name}'",
            remedy="is this patch for another spec?",
        )
        for number, change in enumerate(changes)
        if change.name not in known[change.document]
    ]
    if problems:
        raise InputError(problems)


def _topology(
    document: Document[Topology],
    name: str,
    changes: Iterable[Change],
    folder: Path,
    *,
    seconds: float | None,
    patch: Source | None,
) -> str:
    """Write a topology as it is to be, if that differs; what a spec in ``folder`` calls it."""
    own = [one for one in changes if one.document == "topology" and one.name == document.model.name]
    if not own and seconds is None:
        return name if name in library() else str(Path(document.source.file).absolute())
    played = shortened(document, seconds) if seconds else document
    values = _changed(played, own, patch)
    if seconds is not None:
        values["phases"] = changed(played.model.model_dump(mode="json"), own)["phases"]
    values = _anchored(values, document.folder.absolute())
    topology_of(Source(_name(patch), values, {}))
    file = folder / TOPOLOGIES / f"{document.model.name}.yaml"
    _write(file, values, f"{document.source.file}, changed")
    return f"{TOPOLOGIES}/{file.name}"


def _changed(
    document: Document[Any], changes: Sequence[Change], patch: Source | None
) -> dict[str, Any]:
    """What was written of a document, with changes; only what is changed is written out."""
    resolved = changed(document.model.model_dump(mode="json"), changes, patch)
    written: Any = copy.deepcopy(document.source.values)
    for change in changes:
        _put(written, resolved, change.place)
    return dict(written)


def _put(written: Any, resolved: Any, place: Location) -> None:
    """Take over what stands at a place, or the first of the values around it that is missing."""
    for depth, part in enumerate(place):
        missing = found(written, (part,)) is None
        if missing or depth == len(place) - 1:
            written[part] = resolved[part]
            return
        written, resolved = written[part], resolved[part]


def _anchored(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Files that parameters of activities name, from wherever the topology is read."""

    def anchor(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: anchor(one) for key, one in value.items()}
        if isinstance(value, list):
            return [anchor(one) for one in value]
        named = isinstance(value, str) and _is_file(value) and (folder / value).is_file()
        return str(folder / value) if named else value

    activities = values.get("activities")
    return {**values, "activities": anchor(activities)} if activities else values


def _is_file(text: str) -> bool:
    return "/" in text or "." in text


def _name(patch: Source | None) -> str:
    return patch.file if patch else "patch"


def _write(path: Path, values: Mapping[str, Any], head: str) -> None:
    write_text(path, f"# {head}\n{yaml_text(dict(values))}")
