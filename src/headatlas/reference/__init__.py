"""The small VLMs that ship with HeadAtlas, and how they are trained on rendered scenes."""

from headatlas.shipped import names, path

__all__ = ["names", "path"]
