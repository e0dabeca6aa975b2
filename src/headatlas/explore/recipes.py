"""The head recipes that the mixer can apply: those named at the start, those of a run, and those loaded on the page."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cachetools import FIFOCache

from headatlas.errors import HeadAtlasError
from headatlas.explore.requests import RecipeFiles
from headatlas.vlm.model import VLM
from headatlas.vlm.recipe import HeadRecipe

MOST_LOADED = 16
"""Recipes loaded on the page that are kept; the oldest are dropped first."""


class Recipes:
    """Head recipes by fingerprint.

    Raises `HeadAtlasError` for a folder that is not a recipe, or one of another model.

    Args:
        vlm: the model, for which every recipe must have been made.
        folders: recipes that are there from the start.
    """

    def __init__(self, vlm: VLM, folders: Iterable[str | Path] = ()) -> None:
        self._vlm = vlm
        self._folders: dict[str, tuple[HeadRecipe, str]] = {}
        self._loaded: FIFOCache[str, tuple[HeadRecipe, str]] = FIFOCache(MOST_LOADED)
        for folder in folders:
            recipe = self._checked(HeadRecipe.load(folder))
            self._folders[recipe.fingerprint] = (recipe, str(folder))

    def add(self, files: RecipeFiles) -> dict[str, Any]:
        """Keep a recipe whose files were loaded on the page, in memory only; returns its facts.

        Raises:
            HeadAtlasError: the files are not a recipe, or one of another model.
        """
        try:
            tensors = base64.b64decode(files.tensors, validate=True)
        except (binascii.Error, ValueError) as error:
            raise HeadAtlasError("recipe.safetensors must be sent as base64") from error
        with tempfile.TemporaryDirectory(prefix="headatlas-") as name:
            folder = Path(name) / "recipe"
            folder.mkdir()
            (folder / "recipe.json").write_text(files.record, encoding="utf-8")
            (folder / "recipe.safetensors").write_bytes(tensors)
            try:
                recipe = self._checked(HeadRecipe.load(folder))
            except HeadAtlasError as error:
                raise HeadAtlasError(str(error).replace(repr(str(folder)), repr(files.name))) from error
        if recipe.fingerprint not in self._folders:
            self._loaded[recipe.fingerprint] = (recipe, files.name)
        return _facts(recipe, files.name)

    def get(self, fingerprint: str) -> HeadRecipe:
        """The recipe; `HeadAtlasError` if it is not there any more."""
        return self._find(fingerprint)[0]

    def path(self, fingerprint: str) -> tuple[str, bool]:
        """What a recipe's folder is called, and whether that is its path."""
        return self._find(fingerprint)[1], fingerprint in self._folders

    def document(self) -> list[dict[str, Any]]:
        """All recipes for the page: name, method, heads of the grid, and number of all heads."""
        return [_facts(recipe, name) for recipe, name in [*self._folders.values(), *self._loaded.values()]]

    def _find(self, fingerprint: str) -> tuple[HeadRecipe, str]:
        found = self._folders.get(fingerprint) or self._loaded.get(fingerprint)
        if found is None:
            raise HeadAtlasError("this recipe is no longer there: load it again")
        return found

    def _checked(self, recipe: HeadRecipe) -> HeadRecipe:
        recipe.check(self._vlm)
        return recipe


def _facts(recipe: HeadRecipe, name: str) -> dict[str, Any]:
    heads = [str(head) for head in recipe.heads]
    return {
        "recipe": recipe.fingerprint,
        "name": Path(name).name,
        "method": recipe.method,
        "heads": [head for head in heads if head[0] in "LX"],
        "n": len(heads),
    }
