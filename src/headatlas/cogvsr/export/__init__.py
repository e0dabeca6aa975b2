"""Write datasets for use elsewhere: a Hugging Face folder with its card, JSON lines, or CogQA's format; one file per format.

A format is a function `(data, folder)` that writes into an empty folder; `@writes(name)` registers it.
"""

from headatlas.cogvsr.export.base import FORMATS, export
from headatlas.cogvsr.export.hub import push

__all__ = ["FORMATS", "export", "push"]
