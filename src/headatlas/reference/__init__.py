"""The small VLMs that ship with HeadAtlas, and how they are trained on rendered scenes."""

from headatlas.shipped import in_parts, names, path

__all__ = ["in_parts", "names", "path"]
