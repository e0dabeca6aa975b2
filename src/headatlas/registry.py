"""The registry that every extension point uses: named things of one kind, shipped or added from outside.

A room makes one `Registry` and lists the modules in which its things are registered. They are imported on first use, so
that importing a room stays cheap. Other packages add to it with the decorator, or with an entry point:

    [project.entry-points."headatlas.scorers"]
    mine = "my_package.my_scorer"
"""

from __future__ import annotations

import difflib
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from threading import RLock
from types import FunctionType
from typing import Generic, TypeVar

from headatlas.errors import HeadAtlasError

T = TypeVar("T")

SHOWN = 12
"""Most names that `repr` of a registry shows."""


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
    """Things of one kind by name.

    The order does not depend on which module was imported first: shipped things come in the order of `modules`, those of one
    module in the order of its lines, then things from other packages by name. Without `modules` it is the order of registration.

    Args:
        kind: the name of one of them in messages, such as `"scorer"`; its plural names the entry-point group,
            `"headatlas.scorers"`.
        modules: modules that register the shipped things, imported in this order on first use. A name that ends in
            `".*"` stands for every module of that package, in alphabetical order.
        plural: the plural of `kind`, if it is not `kind + "s"`.
        of: the class of the things, if they have one; anything else is refused.
    """

    def __init__(self, kind: str, modules: Sequence[str] = (), *, plural: str = "", of: type | None = None) -> None:
        self.kind = kind
        self.plural = plural or f"{kind}s"
        self._modules = tuple(modules)
        self._of = of
        self._things: dict[str, T] = {}
        self._homes: dict[str, str] = {}  # the module whose import registered each thing, by name
        self._discovered = False
        self._lock = RLock()

    def add(self, name: str, thing: T) -> T:
        """Register `thing` under `name` and return it; a thing registered before under that name is replaced.

        Raises:
            HeadAtlasError: `thing` is not of the class of this registry.
        """
        if self._of is not None and not isinstance(thing, self._of):
            raise HeadAtlasError(
                f"{self.kind} {name!r} must be a {self._of.__name__}, got {_kind_of(thing)}; see the recipe in docs/extending.md"
            )
        self._things.pop(name, None)
        self._things[name] = thing
        self._homes[name] = _importing_module()
        return thing

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers what it decorates under `name`."""
        return lambda thing: self.add(name, thing)

    def remove(self, name: str) -> None:
        """Forget `name`; an unknown name is ignored."""
        self._things.pop(name, None)
        self._homes.pop(name, None)

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

    def get(self, name: str, default: T | None = None) -> T | None:  # type: ignore[override]
        """The thing registered under `name`, or `default`."""
        return self._things[name] if name in self else default

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
        names = list(self)
        more = f", ... ({len(names)} in all)" if len(names) > SHOWN else ""
        return f"<{self.plural}: {', '.join(names[:SHOWN])}{more}>"

    def _discover(self) -> None:
        with self._lock:
            if self._discovered:
                return
            self._discovered = True  # set first, because a module that is being imported may look up its own registry
            try:
                shipped = [module for name in self._modules for module in _expand(name)]
                for module in shipped:
                    import_module(module)
                for point in entry_points(group=f"headatlas.{self.plural.replace(' ', '_')}"):
                    before = set(self._things)
                    try:
                        loaded = point.load()
                    except Exception as error:
                        package = point.dist.name if point.dist else "another package"
                        raise HeadAtlasError(
                            f"the {self.kind} {point.name!r} of {package} cannot be loaded from {point.value!r} "
                            f"({type(error).__name__}: {error}); fix or uninstall that package"
                        ) from error
                    is_module = hasattr(loaded, "__path__") or hasattr(loaded, "__spec__")
                    if not is_module and point.name not in self._things and before == set(self._things):
                        self.add(point.name, loaded)  # an object that no decorator registered
                if shipped:
                    places = {module: i for i, module in enumerate(shipped)}
                    ours = shipped[0].split(".")[0]
                    order = {
                        name: (places.get(home, len(shipped)), "")
                        if home.split(".")[0] == ours
                        else (len(shipped) + 1, name)
                        for name, home in self._homes.items()
                    }
                    self._things = dict(sorted(self._things.items(), key=lambda item: order[item[0]]))
            except BaseException:
                self._discovered = False
                raise


def _importing_module() -> str:
    """The module that is being imported, `__main__` for a script, "" if none is."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def _kind_of(thing: object) -> str:
    return f"the function {thing.__name__}" if isinstance(thing, FunctionType) else f"a {type(thing).__name__}"


def _expand(name: str) -> list[str]:
    if not name.endswith(".*"):
        return [name]
    package = import_module(name[:-2])
    return [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
