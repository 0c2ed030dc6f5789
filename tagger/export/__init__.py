"""Datasets in the forms that other tools read."""

from tagger.export.formats import FORMATS, ExportReport, Format, export_dataset
from tagger.export.rows import Hidden, Privacy

__all__ = ["FORMATS", "ExportReport", "Format", "Hidden", "Privacy", "export_dataset"]
