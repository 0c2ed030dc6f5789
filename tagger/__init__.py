"""Labels flows by rules over the journal, measures the labels, and writes datasets."""

from tagger.activities import ACTIVITIES, read_activities
from tagger.agreement import Agreement, Disagreement, LabelQuality, wilson
from tagger.dataset import DatasetReport, write_dataset
from tagger.effects import effect_of
from tagger.elsewhere import Elsewhere, read_elsewhere
from tagger.events import EVENT_LABELS, tag_events
from tagger.explanation import Explanation, Match, explain
from tagger.facts import CaptureFacts, RunFacts, read_facts
from tagger.merging import merge_datasets
from tagger.resplit import split_dataset
from tagger.rulebook import AMBIGUOUS, UNLABELLED, Label, Rule, Rulebook, load_rules, rulebooks
from tagger.sources import TaggedRun
from tagger.splitting import SplitPlan
from tagger.summary import DatasetSummary, RunLineage, labelled_flow, load_summary, verify
from tagger.tag import TagReport, tag_run
from tagger.targets import Tolerances
from tagger.writing import LABELS

__all__ = [
    "ACTIVITIES",
    "AMBIGUOUS",
    "EVENT_LABELS",
    "LABELS",
    "UNLABELLED",
    "Agreement",
    "CaptureFacts",
    "DatasetReport",
    "DatasetSummary",
    "Disagreement",
    "Elsewhere",
    "Explanation",
    "Label",
    "LabelQuality",
    "Match",
    "Rule",
    "Rulebook",
    "RunFacts",
    "RunLineage",
    "SplitPlan",
    "TagReport",
    "TaggedRun",
    "Tolerances",
    "effect_of",
    "explain",
    "labelled_flow",
    "load_rules",
    "load_summary",
    "merge_datasets",
    "read_activities",
    "read_elsewhere",
    "read_facts",
    "rulebooks",
    "split_dataset",
    "tag_events",
    "tag_run",
    "verify",
    "wilson",
    "write_dataset",
]
