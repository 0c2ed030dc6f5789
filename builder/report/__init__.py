"""The report of a build: everything that was found out, as one HTML file."""

from __future__ import annotations

from typing import Final

from builder.report.page import render_report

__all__ = ["REPORT_FILE", "render_report"]

REPORT_FILE: Final = "report.html"
