"""The live page: a model's heads on one answer, edited while you look; and the same as static files."""

from headatlas.explore.desk import Desk
from headatlas.explore.export import export
from headatlas.explore.serve import serve

__all__ = ["Desk", "export", "serve"]
