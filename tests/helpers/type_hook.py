"""Annotations are checked while testing: beartype checks every function and class of a package, jaxtyping the names of axes.

jaxtyping has an import hook of its own. It wraps every function and every closure, whether arrays are annotated or not, and
makes the tests take almost twice as long. Here only dataclasses and functions that annotate an array go through jaxtyping, and
closures are not checked.
"""

from __future__ import annotations

import ast
import re
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import SimpleNamespace
from typing import Any, get_type_hints

from beartype import BeartypeConf, beartype
from jaxtyping import jaxtyped

ARRAY = re.compile(r"\b(?:Bool|U?Int|Float|Integer|Num|Shaped)\d*\[|\b(?:HeadArray|RowHeadArray|Means|Rows|Where)\b")
# An int is taken for a float, as PEP 484 does. A TypeError is what code that reads files catches.
typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError))


def plain(decorated):
    """Check the annotations of a function each for itself; those that do not resolve yet are not checked."""
    written = decorated.__annotations__
    resolved = {name: _resolved(hint, decorated.__globals__) for name, hint in written.items()}
    decorated.__annotations__ = {name: hint for name, hint in resolved.items() if hint is not Any}
    checked = typechecker(decorated)
    decorated.__annotations__ = checked.__annotations__ = written
    return checked


def shaped(decorated):
    """Check the annotations of a function, or the fields of a finished dataclass, and that an axis has one length everywhere."""
    return jaxtyped(decorated, typechecker=typechecker)


def fields(decorated):
    """Check what a finished dataclass without arrays is made with."""
    decorated.__init__ = plain(decorated.__init__)
    return decorated


def _resolved(hint: Any, names: dict[str, Any]) -> Any:
    if hint is None or not isinstance(hint, str):
        return hint
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"hint": hint}), names, include_extras=True)["hint"]
    except Exception:  # a name that is imported for type checkers only, or defined further down
        return Any


def install(package: str) -> None:
    """Check `package` from now on; it must not be imported yet."""
    if package in sys.modules:
        raise RuntimeError(f"{package} must not be imported before the type hook")
    sys.meta_path.insert(0, _Finder(package))


class _Finder(MetaPathFinder):
    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if fullname.split(".")[0] != self.package:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname):
        # Compiled anew every time: Python's cache does not know that the code was changed here.
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), filename=path)
        _decorate(tree.body)
        after = next((i for i, node in enumerate(tree.body) if not _must_be_first(node)), len(tree.body))
        tree.body.insert(after, ast.Import(names=[ast.alias(__name__, "_type_hook")]))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


def _must_be_first(node: ast.stmt) -> bool:
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return docstring or (isinstance(node, ast.ImportFrom) and node.module == "__future__")


def _decorate(body: list[ast.stmt]) -> None:
    """Add the check below the other decorators of functions, and above those of dataclasses."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            annotations = f"{ast.unparse(node.args)} {ast.unparse(node.returns) if node.returns else ''}"
            node.decorator_list.append(_check("shaped" if ARRAY.search(annotations) else "plain", node))
        elif isinstance(node, ast.ClassDef):
            _decorate(node.body)
            if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
                annotations = " ".join(
                    ast.unparse(one.annotation) for one in node.body if isinstance(one, ast.AnnAssign)
                )
                node.decorator_list.insert(0, _check("shaped" if ARRAY.search(annotations) else "fields", node))
        elif isinstance(node, ast.If | ast.Try):
            _decorate(node.body)


def _check(name: str, node: ast.stmt) -> ast.expr:
    return ast.copy_location(ast.parse(f"_type_hook.{name}", mode="eval").body, node)
