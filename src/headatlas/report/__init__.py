"""One run directory in, one self-contained HTML page and its charts out."""

from headatlas.report.render import render_report

__all__ = ["render_report"]
