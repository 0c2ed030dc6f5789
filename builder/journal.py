"""Finished trials on disk, so that a search that was killed goes on where it was.

One JSON line per trial, appended as it ends; a line that a kill cut short is dropped. The first
line says what was searched: a journal of anything else is started afresh.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from builder.config import Model
from builder.objective import Candidate
from builder.result import Trial
from builder.versions import versions
from topologies.code import code_digest
from topologies.files import write_text

# What says which trials there are, and not what score one gets: more of them may be asked for.
_EXTENT: Final = {"families", "heuristic", "trials", "time_budget_s", "trial_timeout_s"} | {
    *("limits", "study_s", "unknown"),  # of what is done with the trials
}


def search_key(dataset_sha256: str, config: Model) -> str:
    """A digest of all that the score of given hyperparameters depends on, the code included."""
    parts = [
        dataset_sha256,
        config.model_dump(mode="json", exclude=_EXTENT),
        versions(),
        code_digest("builder"),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def trials_known(path: Path, key: str) -> int:
    """How many finished trials a journal has of the search with this key."""
    lines = _whole_lines(path)
    return len(lines) - 1 if lines and lines[0] == {"search": key} else 0


class TrialJournal:
    """The journal at ``path`` of the search that ``key`` names, by a digest of all it depends on.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> TrialJournal(folder / "trials.jsonl", "ab12").recall(Candidate(0, "mlp", {}, 7)) is None
    True
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._known: dict[tuple[int, float], Trial] = {}
        self._took_s: dict[tuple[int, float], float] = {}
        lines = _whole_lines(path)
        if not lines or lines[0] != {"search": key}:
            lines = []
        before_s = 0.0
        for line in lines[1:]:
            trial = _trial(line["trial"])
            self._known[trial.number, trial.budget] = trial
            self._took_s[trial.number, trial.budget] = max(line["at_s"] - before_s, 0.0)
            before_s = line["at_s"]
        text = [json.dumps(line) + "\n" for line in lines or [{"search": key}]]
        write_text(path, "".join(text))

    def recall(self, candidate: Candidate) -> Trial | None:
        """The trial of this very candidate, if it has ended."""
        trial = self._known.get((candidate.number, candidate.budget))
        if trial is None or (trial.family, trial.params, trial.seed) != (
            candidate.family,
            candidate.params,
            candidate.seed,
        ):
            return None
        return trial

    def took_s(self, candidate: Candidate) -> float:
        """How much of the search's time went by until a known candidate's trial had ended.

        Trials run side by side, so this is the time since the one before had ended.
        """
        return self._took_s.get((candidate.number, candidate.budget), 0.0)

    def append(self, trial: Trial, *, at_s: float) -> None:
        """Record a trial that ended ``at_s`` seconds into the search."""
        line = json.dumps({"trial": asdict(trial), "at_s": round(at_s, 3)}) + "\n"
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(line)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines up to the first that is damaged."""
    lines = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def _trial(values: dict[str, Any]) -> Trial:
    return Trial(**(values | {"fold_scores": tuple(values["fold_scores"])}))
