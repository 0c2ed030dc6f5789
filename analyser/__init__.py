"""A packaged STA at work. It needs onnxruntime and numpy, and nothing that trained the model."""

from analyser.foreign import analyse_tables
from analyser.forensic import (
    UNCERTAIN,
    Verdicts,
    analyse,
    classify,
    summarise,
    verdict_schema,
)
from analyser.output import (
    FORMATS,
    WIDTH,
    OutputFormat,
    render_summary,
    render_verdicts,
    write_verdicts,
)

__all__ = [
    "FORMATS",
    "UNCERTAIN",
    "WIDTH",
    "OutputFormat",
    "Verdicts",
    "analyse",
    "analyse_tables",
    "classify",
    "render_summary",
    "render_verdicts",
    "summarise",
    "verdict_schema",
    "write_verdicts",
]
