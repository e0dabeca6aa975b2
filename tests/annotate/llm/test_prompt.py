import jinja2
import pytest

from headatlas.annotate.llm import Prompt


def test_a_changed_letter_is_another_version(tmp_path, monkeypatch):
    package = tmp_path / "some_prompts"
    (package / "prompts").mkdir(parents=True)
    (package / "__init__.py").touch()
    file = package / "prompts" / "hello.v1.md"
    monkeypatch.syspath_prepend(tmp_path)
    file.write_text("Say {{ word }} <b>", encoding="utf-8")
    one = Prompt.load("some_prompts", "hello.v1")
    file.write_text("Say {{ word }} <i>", encoding="utf-8")
    two = Prompt.load("some_prompts", "hello.v1")
    assert one.version.startswith("hello.v1-")
    assert one.version != two.version
    assert one.fill(word="<hi> & {{ no }}") == "Say <hi> & {{ no }} <b>"
    with pytest.raises(jinja2.UndefinedError):
        one.fill()
