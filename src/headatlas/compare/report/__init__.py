"""The page that compares several models, drawn from the tables in `OUT/comparison/`; one small module a chapter."""

from headatlas.compare.report.page import render_comparison
from headatlas.compare.report.read import read_comparison

__all__ = ["read_comparison", "render_comparison"]
