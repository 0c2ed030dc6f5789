"""The report of a build, or of a forecast: everything that was found out, as one HTML file."""

from __future__ import annotations

from typing import Final

from builder.report.forecast import render_forecast
from builder.report.page import render_report

__all__ = ["REPORT_FILE", "render_forecast", "render_report"]

REPORT_FILE: Final = "report.html"
