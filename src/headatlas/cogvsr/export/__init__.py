"""Write datasets for use elsewhere: a Hugging Face folder with its card, JSON lines, and CogQA's format; one file a format.

A format is a function `(data, folder)`, registered under its name with `writes`, that writes into an empty folder.
"""

from headatlas.cogvsr.export.base import FORMATS, export
from headatlas.cogvsr.export.hub import push

__all__ = ["FORMATS", "export", "push"]
