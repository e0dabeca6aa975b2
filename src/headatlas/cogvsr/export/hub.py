"""Export a Hugging Face dataset (Parquet with images inside, and a card), and upload it with the user's token.

Data whose licence does not allow redistribution is uploaded only if the user confirms to have the right.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2

from headatlas.cogvsr import files
from headatlas.cogvsr.export.base import writes
from headatlas.cogvsr.functions import FUNCTIONS, TITLES
from headatlas.cogvsr.sources import SOURCE_FACTS, SourceFacts
from headatlas.cogvsr.store import CogVSR
from headatlas.cogvsr.summary import PAPER, summarize
from headatlas.errors import HeadAtlasError


@writes("hub")
def write_hub(data: CogVSR, folder: Path) -> None:
    """Write `data/questions-*.parquet` and `README.md`, the card."""
    files.write(data.rows(), folder / "data")
    (folder / "README.md").write_text(card(data), encoding="utf-8")


def card(data: CogVSR, address: str = "OWNER/NAME") -> str:
    """The dataset card: where the questions come from and under which licences, and counts beside the paper's CogVSR.

    `address` is what `load` takes, shown in the card's example.
    """
    table = summarize(data)

    def group(name: str) -> list[dict[str, Any]]:
        return [{str(k): v for k, v in row.items()} for row in table[table["group"] == name].to_dict("records")]

    loader = jinja2.PackageLoader("headatlas.cogvsr")
    page = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["cell"] = _cell
    return page.get_template("dataset_card.md.j2").render(
        name=data.name,
        address=address,
        total=len(data),
        steps=int(table.loc[table["group"] == "all", "steps"].iloc[0]),
        fingerprint=data.fingerprint,
        sources=sources(data),
        free=all(source["shareable"] for source in sources(data)),
        splits=group("split"),
        functions=group("function"),
        types=group("answer_type"),
        titles=TITLES,
        order=FUNCTIONS,
        paper=PAPER,
        size=next((name for most, name in _SIZES if len(data) < most), "n>1M"),
    )


_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The hub's names for sizes of datasets."""


def sources(data: CogVSR) -> list[dict[str, Any]]:
    """Each source with its counts and licence: name, title, licence, shareable, home, steps, questions, n_steps."""
    table = data.steps()
    questions, steps = Counter(table.drop_duplicates("question")["source"]), Counter(table["source"])
    found = []
    for name, count in questions.most_common():
        facts = asdict(SOURCE_FACTS.get(str(name)) or SourceFacts(title=str(name)))
        found.append({"name": str(name), **facts, "questions": count, "n_steps": steps[name]})
    return found


def _cell(text: str) -> str:
    """Text from data, escaped for tables in Markdown."""
    plain = " ".join(text.split())
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("`", "'")


def push(data: CogVSR, repo: str, private: bool = True, rights: bool = False, folder: Path | None = None) -> str:
    """Upload a dataset to the Hugging Face hub with the user's own token (`HF_TOKEN` or `hf auth login`); return its address.

    Args:
        data: what to upload.
        repo: owner/name; created if it does not exist.
        private: whether a new repository is private.
        rights: the user confirms the right to redistribute sources whose licence does not say so.
        folder: an existing export in the format `hub`; None exports `data` first.

    Raises:
        HeadAtlasError: no token, a source that may not be redistributed, or the hub refuses.
    """
    import tempfile

    import huggingface_hub

    from headatlas.cogvsr.export.base import MARK, export

    closed = [source for source in sources(data) if not source["shareable"]]
    if closed and not rights:
        names = "; ".join(f"{source['title']} ({source['licence']})" for source in closed)
        raise HeadAtlasError(
            f"every source must allow redistribution, got {names}; confirm with --rights (rights=True) that you may upload it"
        )
    if huggingface_hub.get_token() is None:
        raise HeadAtlasError("uploading needs a Hugging Face token, got none; set HF_TOKEN or run `hf auth login`")
    with tempfile.TemporaryDirectory(prefix="headatlas-") as temporary:
        source = folder or export(data, "hub", Path(temporary) / "dataset")
        try:
            api = huggingface_hub.HfApi()
            address = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
            api.upload_folder(repo_id=repo, repo_type="dataset", folder_path=source, ignore_patterns=[MARK])
        except Exception as error:  # the hub client raises many kinds of errors; all mean the same to the user
            line = (str(error).splitlines() or [""])[0]
            raise HeadAtlasError(f"the hub refused {repo!r} ({type(error).__name__}: {line})") from error
    return str(address)
