"""Labels the flows of a capture made elsewhere, by a journal that somebody wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tagger.agreement import LabelQuality
from tagger.effects import PAYLOAD
from tagger.explanation import NO_EVIDENCE, Explanation, explain_flow, find
from tagger.flows import NUMBERS, TEXTS, FlowKeys, read_flow_keys
from tagger.journal import as_journal, own_rules, read_journal_lines
from tagger.labeller import Labeller
from tagger.rulebook import Rulebook, load_rules
from tagger.run import Journal
from tagger.tag import TagReport, report_of
from tagger.targets import Tolerances


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A flow table and a journal that belong together, read and ready to be labelled."""

    name: str
    path: Path
    flows: FlowKeys
    journal: Journal
    book: Rulebook
    labeller: Labeller

    def tag(self) -> TagReport:
        """Label every flow."""
        labels = self.labeller.label(self.flows)
        kept = np.ones(len(self.flows), dtype=np.bool_)
        quality = LabelQuality(note=f"evidence: {NO_EVIDENCE}")
        return report_of(self.name, self.book, labels, kept, quality)

    def explain(self, flow_id: str) -> Explanation:
        """Explain one flow's label; raises `NotFoundError`."""
        row = find(self.flows, flow_id, self.path)
        flow = self.flows.take(np.array([row], dtype=np.int64))
        return explain_flow(self.journal, self.labeller, flow)

    def labelled(self, labels: pa.Table) -> pa.Table:
        """The flows' keys and times beside their labels."""
        keys = pq.read_table(self.path, columns=[n for n in (*TEXTS, *NUMBERS) if n != "run_id"])
        for name in labels.column_names:
            if name not in keys.column_names and name != "oracle":
                keys = keys.append_column(labels.schema.field(name), labels[name])
        return keys


def read_elsewhere(
    journal: Path,
    flows: Path,
    *,
    rules: str | Path | None = None,
    tolerances: Tolerances | None = None,
) -> Elsewhere:
    """Read a journal and the flow table of the capture that it speaks of.

    Parameters
    ----------
    rules
        None: each line's own label, or that of its kind in the catalogue.

    Raises
    ------
    NotFoundError, InputError
        A file is missing or has faults.
    """
    lines = read_journal_lines(journal)
    book = own_rules(lines, str(journal)) if rules is None else load_rules(rules).model
    keys = read_flow_keys(flows, run_id=None, features=book.features, if_there=PAYLOAD)
    made = as_journal(lines, keys)
    labeller = Labeller(made, book, tolerances or Tolerances())
    return Elsewhere(journal.stem, flows, keys, made, book, labeller)
