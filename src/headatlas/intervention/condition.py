"""`Condition`: the edits of a model, their scope, and how questions are shown."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from headatlas._moved import old_names
from headatlas.errors import HeadAtlasError
from headatlas.heads import SCOPES, AttentionEdit, Edit

ORIGINAL = "original"
"""The arm in which a question is shown as it is."""


@dataclass(frozen=True)
class Condition:
    """The edits of a model and the way in which questions are shown while it answers.

    Args:
        name: for people and progress bars; not part of the condition's identity.
        edits: edits of heads; none is the bare model.
        scope: token positions the edits act at, one of `heads.SCOPES`.
        arm: name of the way questions are shown (`latent.arms`); `original` shows them as they are.

    Raises:
        HeadAtlasError: an unknown scope.
    """

    name: str
    edits: tuple[Edit | AttentionEdit, ...] = ()
    scope: str = "all"
    arm: str = ORIGINAL

    def __post_init__(self) -> None:
        if self.scope not in SCOPES:
            raise HeadAtlasError(f"scope must be one of {', '.join(SCOPES)}, got {self.scope!r}")

    def __repr__(self) -> str:
        names = [str(getattr(edit, "name", edit)) for edit in self.edits]
        edits = "; ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return f"Condition({self.name!r}, edits: {edits or 'none'}, scope {self.scope}, arm {self.arm})"

    @property
    def like(self) -> tuple[str, str]:
        """Scope and arm: conditions that agree in these can share a bare pass."""
        return self.scope, self.arm

    @property
    def fingerprint(self) -> str:
        """Hex digest of heads, factors, shifts, scope and arm: equal iff the condition does the same thing."""
        # Without edits the scope has no effect, so bare models of all scopes share one cache entry.
        scope = self.scope if self.edits else "all"
        return digest(scope, self.arm, *(edit.fingerprint for edit in self.edits))


def digest(*parts: str | int) -> str:
    """Hex digest (32 characters) of a sequence of texts and numbers; ("ab", "c") and ("a", "bc") differ."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


__getattr__ = old_names(__name__)
