"""The live page, on which a model's heads are inspected and edited, and its export as static files."""

from headatlas.explore.desk import Desk
from headatlas.explore.export import export
from headatlas.explore.serve import serve

__all__ = ["Desk", "export", "serve"]
