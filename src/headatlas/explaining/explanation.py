"""`Explanation`: the result of `explain`, with tables, pictures and a page."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from headatlas.errors import HeadAtlasError
from headatlas.explaining.alternatives import Alternative, probabilities
from headatlas.explaining.effects import HeadEffects, removal
from headatlas.explaining.groups import Groups
from headatlas.explaining.lens import Writes, head_writes
from headatlas.heads import HeadSet, as_heads
from headatlas.heads.address import Heads
from headatlas.intervention.operations import Means
from headatlas.storage import write_whole
from headatlas.vlm.attention import AttentionMap
from headatlas.vlm.chat import Conversation
from headatlas.vlm.generate import generate

if TYPE_CHECKING:
    from headatlas.vlm.model import VLM


class Explanation:
    """Which heads carry one answer. Made by `ha.explain`.

    Attributes:
        question: the user's words.
        answer: the answer that is explained.
        said: the answer of the unedited model.
        picture: the first picture, or None.
        alternatives: answers with their probabilities, the explained one first.
        effects: the effect of every single head on each of them.
        groups: heads that matter together; None if they were not looked for.
    """

    def __init__(
        self,
        vlm: VLM,
        chat: Conversation,
        answer: str,
        said: str,
        alternatives: list[Alternative],
        effects: HeadEffects,
        groups: Groups | None,
        seen: AttentionMap | None,
        why_unseen: str = "",
        means: Means | None = None,
    ) -> None:
        self.vlm, self.chat = vlm, chat
        self.answer, self.said, self.alternatives = answer, said, alternatives
        self.effects, self.groups = effects, groups
        self._seen, self._why_unseen, self._means = seen, why_unseen, means

    def __repr__(self) -> str:
        from headatlas.explaining.page import percent

        first = self.table.iloc[0]
        lines = [
            f"Explanation of {self.answer!r} ({percent(self.p)}) to {self.question!r}",
            f"  largest effect: {first['head']} {first['effect']:+.2f} nats; "
            f"{int(self.effects.changed.sum())} of {len(self.effects.heads)} heads change the answer alone",
        ]
        for row in [] if self.groups is None else self.groups.sets.to_dict("records"):
            if " " in row["heads"]:
                lines.append(f"  together: {row['heads']} {row['effect']:+.2f} nats, alone {row['alone']:+.2f} in sum")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from headatlas.explaining.page import fragment

        return fragment(self)

    @property
    def question(self) -> str:
        """The user's last words."""
        return self.chat.turns[-1].user

    @property
    def picture(self) -> Image.Image | None:
        """The first picture."""
        return self.chat.images[0] if self.chat.images else None

    @property
    def p(self) -> float:
        """Probability of the explained answer, 0..1."""
        return self.alternatives[0].p

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per head, largest effect first: `head`, `effect` (fall of the answer's log-odds without it, nats), `p` of
        the answer without it (0..1), what the model `says` then, whether that is `changed`, and `on_picture`, the share of the
        head's attention on the picture where the answer begins (NaN where it cannot be read)."""
        table = self.effects.table()
        mass: dict[str, float] = {}
        if self._seen is not None:
            mass = {
                str(head): float(share) for head, share in zip(self._seen.heads, self._seen.image_mass(), strict=True)
            }
        return table.assign(on_picture=[mass.get(head, np.nan) for head in table["head"]])

    @property
    def heads(self) -> HeadSet:
        """All heads, largest effect first: `heads[:10]`."""
        return HeadSet(list(self.table["head"]), f"by exact effect on the answer {self.answer!r}")

    def attention(self, head: Heads | None = None) -> AttentionMap:
        """Attention of one head, or of all, where the answer begins: `attention("L5.H3").overlay()`.

        Raises `HeadAtlasError` where the model's attention cannot be read, or for a head that was not asked for.
        """
        if self._seen is None:
            raise HeadAtlasError(self._why_unseen)
        return self._seen if head is None else self._seen.only(head)

    def writes(self, head: Heads, n: int = 8) -> Writes:
        """The tokens that a head raises and lowers directly (`head_writes`)."""
        return head_writes(self.vlm, self.chat, head, n)

    def without(self, heads: Heads) -> pd.DataFrame:
        """The answers without some heads: one row per answer, with its probability (0..1) `before` and `after`. The model's new
        answer is among the rows, and is `attrs["says"]`."""
        edit = removal(as_heads(heads), self._means)
        with self.vlm.edit(edit):
            says = generate(self.vlm, [self.chat])[0]
            named: list[str] = [one.text for one in self.alternatives]
            texts = named if not says or says in named else [*named, says]
            after = {one.text: one.p for one in probabilities(self.vlm, self.chat, texts)}
        before = {one.text: one.p for one in probabilities(self.vlm, self.chat, texts)}
        table = pd.DataFrame(
            {
                "answer": texts,
                "before": [before.get(t, np.nan) for t in texts],
                "after": [after.get(t, np.nan) for t in texts],
            }
        )
        table.attrs["says"] = says
        return table

    def plot(self) -> Any:
        """The head grid coloured by effect, beside the answers with their probabilities: an Altair chart."""
        from headatlas.explaining.page import chart

        return chart(self)

    def to_html(self, path: str | Path) -> Path:
        """Write a page that needs no other file and no network, and return its path."""
        from headatlas.explaining.page import page

        path = Path(path)
        write_whole(path, page(self).encode())
        return path
