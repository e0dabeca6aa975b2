"""The report's charts: each function takes a tidy frame and returns a Vega-Lite spec."""

from headatlas.report.charts.bars import bars
from headatlas.report.charts.dots import dots
from headatlas.report.charts.heat import heat
from headatlas.report.charts.lines import lines
from headatlas.report.charts.maps import head_map
from headatlas.report.charts.points import points

__all__ = ["bars", "dots", "head_map", "heat", "lines", "points"]
