"""The registry that every extension point uses: named things of one kind, shipped or added from outside.

A room makes one `Registry` and lists the modules in which its things are registered. They are imported on first use, so
that importing a room stays cheap. Other packages add to it with the decorator, or with an entry point:

    [project.entry-points."headatlas.scorers"]
    mine = "my_package.my_scorer"
"""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from threading import RLock
from typing import Generic, TypeVar

from headatlas.errors import HeadAtlasError

T = TypeVar("T")


def near(name: str, names: Sequence[str]) -> str:
    """`", did you mean 'x'?"` if a name close to `name` exists, else an empty string."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""


def near_folder(name: str) -> str:
    """`", did you mean 'x'?"` if `name` looks like a misspelled folder: its parent is here and holds one with a close name."""
    path = Path(name)
    try:
        siblings = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, siblings, n=1, cutoff=0.75)
    return f", did you mean {str(path.parent / close[0])!r}?" if close else ""


class Registry(Mapping[str, T], Generic[T]):
    """Things of one kind by name, in the order in which they are registered.

    Args:
        kind: what one of them is called in messages, such as `"scorer"`; its plural names the entry-point group,
            `"headatlas.scorers"`.
        modules: modules that register the shipped things, imported in this order on first use. A name that ends in
            `".*"` stands for every module of that package, in alphabetical order.
        plural: the plural of `kind`, if it is not `kind + "s"`.
    """

    def __init__(self, kind: str, modules: Sequence[str] = (), *, plural: str = "") -> None:
        self.kind = kind
        self.plural = plural or f"{kind}s"
        self._modules = tuple(modules)
        self._things: dict[str, T] = {}
        self._discovered = False
        self._lock = RLock()

    def add(self, name: str, thing: T) -> T:
        """Register `thing` under `name` and return it; a name registered before is replaced."""
        self._things[name] = thing
        return thing

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers what it decorates under `name`."""
        return lambda thing: self.add(name, thing)

    def remove(self, name: str) -> None:
        """Forget `name`; an unknown name is ignored."""
        self._things.pop(name, None)

    def __getitem__(self, name: str) -> T:
        """The thing registered under `name`.

        Raises:
            HeadAtlasError: nothing is registered under `name`; the message lists what is and suggests a near name.
        """
        if name not in self._things:
            self._discover()
        if name not in self._things:
            names = list(self._things)
            raise HeadAtlasError(
                f"{self.kind} must be one of {', '.join(names) or '(none registered)'}; got {name!r}{near(name, names)}"
            )
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(tuple(self._things))

    def __len__(self) -> int:
        self._discover()
        return len(self._things)

    def __repr__(self) -> str:
        return f"<{self.plural}: {', '.join(self)}>"

    def _discover(self) -> None:
        with self._lock:
            if self._discovered:
                return
            self._discovered = True  # set first: a module that is being imported may look its own registry up
            try:
                for name in self._modules:
                    for module in _expand(name):
                        import_module(module)
                for point in entry_points(group=f"headatlas.{self.plural.replace(' ', '_')}"):
                    loaded = point.load()
                    if not hasattr(loaded, "__path__") and not hasattr(loaded, "__spec__"):
                        self.add(point.name, loaded)  # an object; a module registers its things itself
            except BaseException:
                self._discovered = False
                raise


def _expand(name: str) -> list[str]:
    if not name.endswith(".*"):
        return [name]
    package = import_module(name[:-2])
    return [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
