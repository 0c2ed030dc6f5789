"""Which formats there are, and writing one of them whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tagger.export.columnar import write_hugging_face, write_numpy, write_parquet
from tagger.export.rows import Privacy, Rows
from tagger.export.text import write_arff, write_csv
from tagger.folders import replacing_folder
from tagger.sources import require_whole
from topologies.errors import InputError, Problem
from topologies.files import replacing

Format = Literal["csv", "arff", "parquet", "huggingface", "numpy"]
FORMATS: Final[Mapping[Format, Callable[[Rows, Path], int]]] = {
    "csv": write_csv,
    "arff": write_arff,
    "parquet": write_parquet,
    "huggingface": write_hugging_face,
    "numpy": write_numpy,
}
FOLDERS: Final = ("huggingface",)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, and what was not."""

    out: Path
    flows: int
    left_out: int
    columns: tuple[str, ...]


def export_dataset(
    dataset_dir: Path, out: Path, form: Format, privacy: Privacy | None = None
) -> ExportReport:
    """Write a dataset in another form, whole or not at all.

    Parameters
    ----------
    dataset_dir
        A dataset directory.
    out
        A file, which is replaced; for ``huggingface`` a folder that is new or empty.
    form
        One of `FORMATS`.
    privacy
        What the export does not tell; None: it tells everything.

    Raises
    ------
    InputError
        The dataset is damaged or lacks what the form is about, or ``out`` is in use.
    """
    rows = Rows(dataset_dir, require_whole(dataset_dir), privacy or Privacy())
    _check_place(out, folder=form in FOLDERS)
    with (replacing_folder if form in FOLDERS else replacing)(out) as place:
        written = FORMATS[form](rows, place)
    return ExportReport(out, written, rows.summary.flows - written, tuple(rows.schema.names))


def _check_place(out: Path, *, folder: bool) -> None:
    wanted = "a new or empty folder" if folder else "a file"
    taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if taken if folder else out.is_dir():
        raise InputError(Problem(str(out), "out", wanted, "something else", "choose another place"))
