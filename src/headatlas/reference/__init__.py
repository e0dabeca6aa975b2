"""The VLMs that ship with HeadAtlas: real models, trained by this project on its own scenes, small enough for any machine."""

from headatlas.shipped import names, path

__all__ = ["names", "path"]
