"""Judging a model honestly: on flows that it never saw, with intervals, beside its rivals."""
