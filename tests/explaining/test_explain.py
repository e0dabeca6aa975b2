"""`ha.explain`: its numbers equal those of the model under the same edits, and its pages contain text only."""

import math

import numpy as np
import pytest
from typer.testing import CliRunner

import headatlas as ha
from headatlas.cli.app import make_app
from headatlas.explaining import alternatives, find_groups, head_effects, head_writes
from headatlas.explaining.effects import log_odds
from headatlas.explaining.page import page, percent, shade, signed
from headatlas.vlm.chat import Conversation, Turn

HOSTILE = '<img src=x onerror="alert(1)">{{7*7}}</script>'


QUESTION = "What colour is the car?"


@pytest.fixture
def vlm(tiny_vlm):
    return tiny_vlm


@pytest.fixture
def picture(tiny_questions):
    return tiny_questions[0].images[0]


@pytest.fixture(scope="module")
def found(tiny_vlm, tiny_questions):
    seen = []
    out = ha.explain(
        tiny_vlm,
        tiny_questions[0].images[0],
        QUESTION,
        progress=lambda what, done, total: seen.append((what, done, total)),
    )
    assert {what for what, _, _ in seen} == {"heads", "groups"}
    assert all(done <= total for _, done, total in seen)
    assert ("heads", 8, 8) in seen
    return out


def test_the_answer_is_the_models_own(found, vlm, picture):
    assert found.answer == found.said == vlm.answer(picture, QUESTION)
    assert found.alternatives[0].text == found.answer
    for one in found.alternatives:
        assert one.logprob == pytest.approx(vlm.logprob(picture, QUESTION, one.text), abs=1e-4)
    assert sum(one.p for one in found.alternatives) <= 1 + 1e-6


def test_every_effect_is_that_of_the_edited_model(found, vlm, picture):
    assert len(found.heads) == 8
    assert found.table["effect"].is_monotonic_decreasing
    for head in found.heads:
        row = found.table.set_index("head").loc[str(head)]
        with vlm.edit(ha.zero(head)):
            p = math.exp(vlm.logprob(picture, QUESTION, found.answer))
            said = vlm.answer(picture, QUESTION)
        assert row["p"] == pytest.approx(p, rel=1e-3)
        assert (row["says"], row["changed"]) == (said, said != found.answer)
        before = math.exp(found.alternatives[0].logprob)
        if 1 - p > 1e-3:  # else rounding decides
            odds = math.log(before / (1 - before)) - math.log(p / (1 - p))
            assert row["effect"] == pytest.approx(odds, abs=0.05)


def test_joint_effects_are_those_of_the_edited_model(found, vlm, picture):
    groups = found.groups
    for row in groups.sets.to_dict("records"):
        with vlm.edit(ha.zero(row["heads"])):
            assert row["p"] == pytest.approx(math.exp(vlm.logprob(picture, QUESTION, found.answer)), rel=1e-3)
            assert row["kept"] == (vlm.answer(picture, QUESTION) == found.answer)
        assert row["n_random"] in (0, 20)
    assert len({head for some in groups.heads for head in some}) == sum(map(len, groups.heads))
    top = groups.pairs.iloc[0]
    with vlm.edit(ha.zero([top["head_a"], top["head_b"]])):
        p = math.exp(vlm.logprob(picture, QUESTION, found.answer))
    before = found.p
    assert top["both"] == pytest.approx(math.log(before / (1 - before)) - math.log(p / (1 - p)), abs=0.05)
    assert np.allclose(
        groups.pairs["interaction"], groups.pairs["both"] - groups.pairs["alone_a"] - groups.pairs["alone_b"]
    )


def test_heads_that_hide_each_other_are_found():
    """On ref-llava L0.H4 and L0.H6 each do the same for this question: nothing is lost without one, all without both."""
    vlm, picture = ha.load_vlm("ref-llava", device="cpu"), ha.cogvsr.load("cogvsr-mini")[3].images[0]
    chat = Conversation((picture,), (Turn("name the column of the red car."),))
    heads = ha.HeadSet("L0.H4 L0.H6 L0.H5 L0.H1")
    effects = head_effects(vlm, chat, ["2", "6"], "2", heads)
    assert abs(effects.effect).max() < 1
    groups = find_groups(vlm, chat, effects, n_search=4, n_random=2)
    both = groups.sets.iloc[0]
    assert set(groups.heads[0]) >= {ha.Head(0, 4), ha.Head(0, 6)}
    assert both["effect"] > 10 > 2 > both["alone"]
    assert not both["kept"]
    assert set(map(str, groups.hidden)) >= {"L0.H4", "L0.H6"}


def test_without_some_heads(found, vlm, picture):
    heads = found.groups.heads[-1]
    table = found.without(heads)
    with vlm.edit(ha.zero(heads)):
        assert table.attrs["says"] == vlm.answer(picture, QUESTION)
        after = [math.exp(vlm.logprob(picture, QUESTION, text)) for text in table["answer"]]
    assert np.allclose(table["after"], after, atol=1e-4)
    assert table["before"][0] == pytest.approx(found.p, abs=1e-4)


def test_a_picture_that_is_drawn_on_later_changes_no_answer(vlm, picture):
    mine = picture.copy()
    found = ha.explain(vlm, mine, QUESTION, heads=["L0.H0", "L1.H1"], groups=False)
    mine.paste("black", (0, 0, *mine.size))
    assert found.without("L0.H0")["before"][0] == pytest.approx(found.p, abs=1e-4)
    assert found.picture.tobytes() == picture.tobytes()


def test_another_answer_can_be_explained(vlm, picture, found):
    other = ha.explain(vlm, picture, QUESTION, answer="left", groups=False)
    assert (other.answer, other.said) == ("left", found.said)
    assert other.alternatives[0].text == "left"
    assert other.groups is None


def test_what_a_head_writes_is_its_direct_effect_on_the_logits(vlm, picture, found):
    chat = Conversation((picture,), (Turn(QUESTION),))
    last_layer = ha.Head(1, 0)
    writes = head_writes(vlm, chat, last_layer, n=200)
    assert len(writes.raised) >= 100
    assert sum(change for _, change in writes.raised) == pytest.approx(0, abs=1e-2)
    assert found.writes("L1.H0", 200).raised[0] == writes.raised[0]
    with pytest.raises(ha.HeadAtlasError, match="language model"):
        head_writes(vlm, chat, "V0.H0")


def test_attention_of_one_head(found):
    one = found.attention("L1.H3")
    assert one.overlay().tobytes() == found.attention().overlay("L1.H3").tobytes()
    assert float(one.image_mass()[0]) == pytest.approx(
        float(found.table.set_index("head").loc["L1.H3", "on_picture"]), abs=1e-6
    )
    with pytest.raises(ha.HeadAtlasError, match="head must be given"):
        found.attention().overlay()


def test_outputs(found, tmp_path):
    assert len(repr(found).splitlines()) <= 4
    html = found._repr_html_()
    assert "<html" not in html
    assert found.answer in html
    whole = found.to_html(tmp_path / "page.html").read_text()
    assert whole.startswith("<!doctype html>")
    assert "http" not in whole.replace("http-equiv", "")
    spec = found.plot().to_dict()
    assert len(spec["hconcat"]) == 2


def test_text_from_data_is_escaped(vlm, picture):
    found = ha.explain(vlm, picture, HOSTILE + " what color is the car?", groups=False)
    html = page(found)
    assert "<img src=x" not in html
    assert "&lt;img src=x" in html
    assert "{{7*7}}" in html
    found.plot().to_json()


def test_mistakes_are_one_line(vlm, picture):
    for arguments, words in (
        ((picture, "  "), "question must be"),
        ((picture, QUESTION, " "), "answer must be"),
        (("no-such.png", QUESTION), "no-such.png"),
    ):
        with pytest.raises(ha.HeadAtlasError, match=words):
            ha.explain(vlm, *arguments)
    with vlm.edit(ha.zero("L0.H0")), pytest.raises(ha.HeadAtlasError, match=r"outside vlm\.edit"):
        ha.explain(vlm, picture, QUESTION)
    with pytest.raises(ha.HeadAtlasError, match="n must be"):
        alternatives(vlm, Conversation((picture,), (Turn(QUESTION),)), 0)


def test_log_odds_near_one():
    near = np.log([[0.9, 0.05], [1 - 1e-9, 1e-6]])
    assert log_odds(near)[0] == pytest.approx(math.log(9))
    assert log_odds(near)[1] == pytest.approx(math.log(1e6), rel=1e-3)


def test_numbers_are_written_for_people():
    assert [signed(-0.001), signed(-1.234), signed(2.0)] == ["0.00", "\u22121.23", "+2.00"]
    assert [percent(0.5), percent(0.003), percent(0.9997), percent(1e-9), percent(float("nan"))] == [
        "50 %", "0.3 %", "99.97 %", "<0.01 %", "–"
    ]  # fmt: skip
    assert [shade(-9.0, 1.0), shade(0.0, 1.0), shade(9.0, 1.0)] == ["#a6540b", "#f6f7f8", "#08508a"]


def test_the_command(picture, tmp_path, tiny_vlm_dir):
    picture.save(tmp_path / "it.png")
    run = CliRunner().invoke(
        make_app(),
        [
            "explain",
            str(tiny_vlm_dir),
            str(tmp_path / "it.png"),
            QUESTION,
            "--no-groups",
            "--out",
            str(tmp_path / "page.html"),
        ],
    )
    assert run.exit_code == 0, run.output
    for head in ("L0.H0", "L1.H3"):
        assert head in run.output
    assert (tmp_path / "page.html").exists()
