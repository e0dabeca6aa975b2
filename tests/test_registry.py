"""The one registry: lazy discovery, clear errors, things from outside."""

import sys
from types import SimpleNamespace

import pytest

import headatlas.registry as registry_module
from headatlas.errors import HeadAtlasError
from headatlas.registry import Registry


@pytest.fixture
def fruit_package(tmp_path, monkeypatch):
    folder = tmp_path / "fruits_shipped"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from headatlas.registry import Registry\nFRUITS = Registry('fruit', ['fruits_shipped.*'])\n"
    )
    for name in ("cherry", "apple"):
        (folder / f"{name}.py").write_text(f"from fruits_shipped import FRUITS\nFRUITS.add('{name}', '{name}!')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.startswith("fruits_shipped")]:
        del sys.modules[name]


def points(monkeypatch, *entries):
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [e for e in entries if e.group == group])


def entry(name, load, group="headatlas.fruits"):
    return SimpleNamespace(
        name=name, value=f"their.{name}", group=group, dist=SimpleNamespace(name="their-fruits"), load=load
    )


def test_shipped_modules_are_imported_on_first_use(fruit_package):
    from fruits_shipped import FRUITS

    assert "fruits_shipped.apple" not in sys.modules
    assert list(FRUITS) == ["apple", "cherry"]
    assert FRUITS["cherry"] == "cherry!"
    assert "pear" not in FRUITS


def test_the_order_does_not_depend_on_imports(fruit_package, monkeypatch):
    import fruits_shipped.cherry  # noqa: F401
    from fruits_shipped import FRUITS

    points(monkeypatch, entry("plum", lambda: "plum!"), entry("lime", lambda: "lime!"))
    assert list(FRUITS) == ["apple", "cherry", "lime", "plum"]


def test_only_things_of_the_class_are_taken():
    fruits = Registry("fruit", of=str)
    fruits.add("plum", "plum!")
    with pytest.raises(HeadAtlasError, match="fruit 'nut' must be a str, got a int; see the recipe"):
        fruits.add("nut", 3)  # type: ignore[arg-type]
    assert list(fruits) == ["plum"]


def test_a_decorated_object_of_an_entry_point_is_registered_once(monkeypatch):
    fruits = Registry("fruit")

    def load():
        return fruits.register("plum")("plum!")

    points(monkeypatch, entry("my_plum", load))
    assert dict(fruits) == {"plum": "plum!"}


def test_an_unknown_name_is_one_line_with_a_near_one(fruit_package):
    from fruits_shipped import FRUITS

    with pytest.raises(HeadAtlasError) as error:
        FRUITS["chery"]
    assert str(error.value) == "fruit must be one of apple, cherry; got 'chery', did you mean 'cherry'?"
    assert FRUITS.get("chery") is None
    assert FRUITS.get("apple") == "apple!"


def test_things_of_other_packages(monkeypatch):
    fruits = Registry("fruit")
    points(monkeypatch, entry("plum", lambda: "plum!"), entry("nut", lambda: "nut!", "headatlas.nuts"))
    assert dict(fruits) == {"plum": "plum!"}


def test_a_package_that_cannot_be_loaded_is_named(monkeypatch):
    def broken():
        raise ImportError("no module named juice")

    fruits = Registry("fruit")
    points(monkeypatch, entry("plum", broken))
    with pytest.raises(
        HeadAtlasError, match=r"fruit 'plum' of their-fruits cannot be loaded from 'their\.plum' \(ImportError"
    ):
        list(fruits)


def test_a_module_that_fails_is_tried_again(monkeypatch):
    fruits = Registry("fruit", ["no_such_module_at_all"])
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            len(fruits)
