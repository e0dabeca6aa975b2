"""The models that can be loaded by a short name, such as `"ref-llava"`: HeadAtlas's own, and those of other packages."""

from pathlib import Path

from headatlas.registry import Registry

SHIPPED: Registry[Path] = Registry("shipped model", ("headatlas.reference.shipped",))
"""Folders of shipped models by name."""
