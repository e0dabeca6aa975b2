import json
import re
from dataclasses import replace

import pandas as pd
import pytest

from headatlas.report import render_report
from headatlas.report.page import Examples, Page, Section
from headatlas.report.registry import SECTIONS
from headatlas.report.render import build_page, embed_json, in_short, link_heads, to_html
from headatlas.report.tables import read_run
from headatlas.results import RESULTS

EMPTY = {name: table.empty() for name, table in RESULTS.items()}
EVIL = "</script><img src=x onerror=alert(1)>&\u2028"


def test_the_report_is_one_small_file_without_links_to_elsewhere(reported):
    report = reported / "report.html"
    text = report.read_text(encoding="utf-8")
    assert report.stat().st_size < 6_000_000
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert not re.findall(r"""<[a-z]+\s[^>]*(?:src|href)=["'](?!data:|#)""", own)
    assert text.count("window.vegaEmbed") == 1
    assert "default-src 'none'" in text


def test_the_story_comes_first_then_the_rest_in_order(reported):
    text = (reported / "report.html").read_text(encoding="utf-8")
    ids = re.findall(r'<section id="([a-z]+)">', text)
    assert ids == ["story", "functions", "claims", "maps", "looking", "towers", "negative", "dose", "activation", "methods",
                   "examples", "damage", "sweeps", "positive", "counts", "concentration", "place", "overlap", "agreement", "task",
                   "words", "settings", "timings"]  # fmt: skip


def test_every_figure_is_saved_as_svg_and_png(reported):
    text = (reported / "report.html").read_text(encoding="utf-8")
    names = re.findall('<figure id="figure-([^"]+)">', text)
    assert len(set(names)) == len(names) > 30
    saved = {file.name for file in (reported / "charts").iterdir()}
    opening = set(
        re.findall(
            '<div class="vega" id="figure-(story-[^"]+)"', (reported / "report.html").read_text(encoding="utf-8")
        )
    )
    assert opening
    assert saved == {f"{name}.{kind}" for name in {*names, *opening} for kind in ("svg", "png")}


def test_no_section_of_a_whole_run_is_missing_anything(reported):
    text = (reported / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"\w+/\w+\.\w+ (has no rows|is missing|was not written)", text)
    assert "nan" not in re.sub(r"<script.*?</script>", "", text, flags=re.S).lower().split()


OWNER = {
    "scores": "maps", "selection": "counts", "sparsity": "counts", "overlap": "overlap", "agreement": "agreement",
    "probe": "agreement", "surface": "agreement", "baseline": "task", "metrics": "task", "negative": "negative",
    "damage": "damage", "dose": "dose", "positive": "positive", "activation": "activation", "tuning": "positive",
    "concentration": "concentration",
}  # fmt: skip
"""The section that shows a table."""


def build(name, run):
    return SECTIONS[name].build(run)


def _page(section: Section) -> Page:
    return Page("title", "subtitle", [], [], [section], [])


@pytest.mark.parametrize("name", OWNER)
def test_without_a_table_its_section_says_why(run_dir, name):
    (run_dir / "results" / f"{name}.csv").unlink()
    section = build(OWNER[name], read_run(run_dir))
    assert f"results/{name}.csv was not written by this run" in to_html(_page(section))


@pytest.mark.parametrize("name", OWNER)
def test_a_table_of_one_row_without_numbers_is_no_crash(run_dir, name):
    file = run_dir / "results" / f"{name}.csv"
    frame = pd.read_csv(file, dtype=str, keep_default_na=False).head(1)
    for column in RESULTS[name].columns:
        if column.gaps and column.kind != "text":
            frame[column.name] = ""
    frame.to_csv(file, index=False)
    section = build(OWNER[name], read_run(run_dir))
    assert section.blocks
    to_html(_page(section))


def test_a_run_with_settings_alone_still_has_every_section(tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"model": "nothing-yet"}))
    text = render_report(tmp_path).read_text(encoding="utf-8")
    assert text.count("<section id=") == len(SECTIONS)
    assert "No claim was judged: claims.json is missing or empty." in text


def test_text_from_data_is_escaped_everywhere(run_dir):
    for file in ("settings.json", "claims.json", "results/examples.json"):
        path = run_dir / file
        data = json.loads(path.read_text())
        if file == "settings.json":
            data["model"] = EVIL
        elif file == "claims.json":
            data["claims"][0].update(title=EVIL, sentence=EVIL, scorer=EVIL, verdict=EVIL)
        else:
            data[0].update(text=EVIL, question=EVIL)
        path.write_text(json.dumps(data))
    file = run_dir / "results" / "baseline.csv"
    table = pd.read_csv(file)
    table.assign(group=[f"{EVIL}{i}" for i in range(len(table))]).to_csv(file, index=False)
    run = read_run(run_dir)
    page = build_page(replace(run, tables={**EMPTY, "baseline": run.tables["baseline"]}))
    text = to_html(page)
    assert "<img src=x" not in text
    assert text.count("</script>") == text.count("<script")


def test_no_image_from_outside_the_run_directory(run_dir):
    (run_dir.parent / "secret.png").write_bytes((run_dir / "images" / "q0.png").read_bytes())
    path = run_dir / "results" / "examples.json"
    examples = json.loads(path.read_text())
    examples[0]["image"] = "../secret.png"
    examples[1]["image"] = "images/none.png"
    path.write_text(json.dumps(examples))
    examples[0]["scorer"] = examples[1]["scorer"] = examples[2]["scorer"] = "paper"
    path.write_text(json.dumps(examples))
    (block,) = build("examples", read_run(run_dir)).blocks
    shown = next(block for block in block.views["paper"] if isinstance(block, Examples))
    assert [bool(example["image"]) for example in shown.entries[:3]] == [False, False, True]


def test_examples_follow_the_scorer_and_say_which_were_chosen(reported):
    (block,) = build("examples", read_run(reported)).blocks
    for scorer in ("paper", "ablation"):
        edit, counts, chosen, others = block.views[scorer]
        assert edit.text.startswith(
            "Silenced: L3.H1 L4.H2 L5.H0 (spatial perception, scaled by 0.001); random heads: L0.H1"
        )
        assert counts.text.startswith(
            "Of 340 questions, 80 lose spatial steps and nothing else; the random heads cost 12"
        )
        assert all(step["right_after"] or step["spatial"] for one in chosen.entries for step in one["steps"])
        assert others.folded
        assert others.title.startswith("Not chosen")
    (note,) = block.views["linear"]
    assert "there are no examples" in note.text


def test_the_report_links_to_an_exported_explorer_if_there_is_one(run_dir):
    link = '<a href="explorer/index.html">'
    assert link not in to_html(build_page(read_run(run_dir)))
    (run_dir / "explorer").mkdir()
    for name in ("index.html", "data.js"):
        (run_dir / "explorer" / name).write_text("")
    assert link in to_html(build_page(read_run(run_dir)))


def test_heads_in_text_become_buttons_and_nothing_else_does():
    text = str(link_heads(f"L4.H2 and V10.H3, not XL4.H2: {EVIL}"))
    assert text.count("<button") == 2
    assert 'data-head="V10.H3"' in text
    assert "<img" not in text


def test_embedded_json_comes_back_as_it_was():
    value = {"a": EVIL, "b": [1.5, None]}
    text = str(embed_json(value))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_the_report_is_the_same_when_made_again(run_dir):
    run = read_run(run_dir)
    assert to_html(_page(build("dose", run))) == to_html(_page(build("dose", run)))


def test_in_short_is_what_the_report_opens_with(run_dir):
    run = read_run(run_dir)
    first, *others = in_short(run)
    assert first.startswith("Of the 48 attention heads of synthetic-vlm, 3 stand out for spatial perception")
    assert first.endswith("L5.H0 L5.H1 L5.H2")
    views = build_page(run).sections[0].blocks[0].views
    assert tuple(others) == next(iter(views.values()))[0].sentences[1:]
    metrics = run.tables["metrics"]
    metrics.loc[metrics["metric"] == "SS_chance_corrected", "low"] = -1.0
    assert in_short(run)[0] == "This model does no better than guessing on spatial steps, so there are no findings."
