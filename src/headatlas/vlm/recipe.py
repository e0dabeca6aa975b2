"""`HeadRecipe`: a fitted change of heads, saved so that it can be used without the study that found it.

A recipe is a folder: `recipe.json` (model, method, heads, strengths, evidence), `recipe.safetensors` (its numbers) and
`README.md`, a card for people. It belongs to one model, and is refused on any other.

    vlm = load_vlm("org/model", recipe="spatial.recipe")       # applied to everything the model answers
    HeadRecipe.load("spatial.recipe").merge(vlm, "merged")     # a plain checkpoint, where the change is one of weights
    HeadRecipe.load("spatial.recipe").export_peft(vlm, "lora") # an adapter that peft loads
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.heads import AttentionEdit, Edit, HeadSet
from headatlas.heads.scope import check_scope
from headatlas.storage import read_regular
from headatlas.transformers_bars import no_bars
from headatlas.vlm.identity import differences, identity
from headatlas.vlm.low_rank import LowRank, linear_at, lora_config, updated
from headatlas.vlm.saving import require_own, require_plain

if TYPE_CHECKING:
    from headatlas.vlm.editable import EditableModel

FORMAT = 1
OF_MODEL = ("architecture", "config", "weights", "dtype", "adapters", "tokenizer", "chat_template", "set_by_hand")
"""Parts of a model's identity that must be those of the model the recipe was made for."""


@dataclass(frozen=True, eq=False)
class HeadRecipe:
    """Edits of heads, low-rank updates of layers, or both, for one model.

    Attributes:
        method: the method that made it, such as `gain`.
        model: the name that the model was loaded by.
        identity: the parts of the model's identity in `OF_MODEL`, as far as it has them.
        edits: applied by `vlm.edit`; keys of attention edits are `"image"`.
        scope: of the edits.
        low_rank: A and B by path of the linear layer.
        settings: how it was made, such as the tuned strength.
        evidence: its measured gains, as rows of plain numbers and texts by column.
    """

    method: str
    model: str
    identity: Mapping[str, str]
    edits: tuple[Edit | AttentionEdit, ...] = ()
    scope: str = "all"
    low_rank: LowRank = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    evidence: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        check_scope(self.scope)
        for edit in self.edits:
            if isinstance(edit, AttentionEdit) and edit.keys != "image":
                raise HeadAtlasError("a recipe's attention edits must be on the keys 'image', which every picture has")
            if edit.rows is not None:
                raise HeadAtlasError("a recipe's edits must be the same for all rows")

    def __repr__(self) -> str:
        return f"HeadRecipe({self.method!r} for {self.model!r}: {len(self.heads)} heads)"

    @classmethod
    def of(
        cls,
        vlm: EditableModel,
        method: str,
        edits: Sequence[Edit | AttentionEdit] = (),
        scope: str = "all",
        low_rank: LowRank | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> HeadRecipe:
        """A recipe for `vlm` as it is now; `HeadAtlasError` if it would change nothing."""
        if not edits and not low_rank:
            raise HeadAtlasError(f"method {method!r} changes nothing in this model, so there is nothing to keep")
        parts = identity(vlm.model, vlm.processor)
        return cls(
            method, vlm.name, {name: parts[name] for name in OF_MODEL if name in parts}, tuple(edits), scope,
            dict(low_rank or {}), dict(settings or {}),
        )  # fmt: skip

    @property
    def heads(self) -> HeadSet:
        """Every head that is edited; those of low-rank updates are in `settings["heads"]`."""
        return HeadSet([*(head for edit in self.edits for head in edit.heads), *self.settings.get("heads", ())])

    @property
    def dtype(self) -> str | None:
        """The dtype of the weights that it was made for, such as `bfloat16`; None if there are several (a quantized model)."""
        name = self.identity.get("dtype", "")
        return name if name in ("float32", "bfloat16", "float16") else None

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with the recipe's effect."""
        digest = hashlib.sha256(f"{self.scope}|{[edit.fingerprint for edit in self.edits]}".encode())
        for path, (a, b) in sorted(self.low_rank.items()):
            digest.update(
                path.encode() + a.detach().float().cpu().numpy().tobytes() + b.detach().float().cpu().numpy().tobytes()
            )
        return digest.hexdigest()[:16]

    # -- on disk ---------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Write the recipe to a folder, which must be new, empty or a recipe.

        Raises:
            HeadAtlasError: the folder holds something else.
        """
        folder = Path(folder)
        if folder.exists() and (
            not folder.is_dir() or (any(folder.iterdir()) and not (folder / "recipe.json").exists())
        ):
            raise HeadAtlasError(f"{str(folder)!r} must be a new folder or a recipe: it holds something else")
        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, Tensor] = {}
        edits = [_edit_json(edit, f"shift.{i}", tensors) for i, edit in enumerate(self.edits)]
        for path, (a, b) in self.low_rank.items():
            tensors[f"A.{path}"], tensors[f"B.{path}"] = a, b
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, folder / "recipe.safetensors"
        )
        record = {
            "format": FORMAT, "headatlas": version("headatlas"), "method": self.method, "model": self.model,
            "identity": dict(self.identity), "fingerprint": self.fingerprint, "scope": self.scope, "edits": edits,
            "low_rank": sorted(self.low_rank), "settings": dict(self.settings), "evidence": [dict(row) for row in self.evidence],
        }  # fmt: skip
        (folder / "recipe.json").write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(self.card(), encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> HeadRecipe:
        """Read a recipe that `save` wrote.

        Raises:
            HeadAtlasError: there is none, it is damaged, or it is of another version.
        """
        folder = Path(folder)
        if folder.is_file():
            raise HeadAtlasError(
                f"a recipe must be a folder, got the file {str(folder)!r}: name the folder that holds it"
            )
        try:
            record = json.loads(read_regular(folder / "recipe.json").decode("utf-8"))
            tensors = load_file(folder / "recipe.safetensors")
        except FileNotFoundError as error:
            raise HeadAtlasError(
                f"{str(folder)!r} is no recipe: it must hold recipe.json and recipe.safetensors"
            ) from error
        except Exception as error:  # safetensors has errors of its own
            raise HeadAtlasError(
                f"the recipe {str(folder)!r} cannot be read: {' '.join(str(error).split())[:120]}"
            ) from error
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise HeadAtlasError(
                f"the recipe {str(folder)!r} must be of format {FORMAT}: it is of another version of HeadAtlas"
            )
        try:
            identity_parts, settings, evidence = dict(record["identity"]), dict(record["settings"]), record["evidence"]
            made = cls(
                str(record["method"]), str(record["model"]), identity_parts,
                tuple(_edit_of(edit, tensors) for edit in record["edits"]), record["scope"],
                {path: (tensors[f"A.{path}"], tensors[f"B.{path}"]) for path in record["low_rank"]},
                settings, tuple(dict(row) for row in evidence),
            )  # fmt: skip
            as_written = made.fingerprint == record["fingerprint"]
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, HeadAtlasError) as error:
            reason = " ".join(str(error).split())[:120]
            raise HeadAtlasError(f"the recipe {str(folder)!r} is damaged: {reason}") from error
        if not as_written:
            raise HeadAtlasError(f"the recipe {str(folder)!r} is damaged: its numbers are not those that were written")
        return made

    def card(self) -> str:
        """The card as Markdown: description, measured gains, use."""
        lines = [
            f"# {self.method} for {self.model}", "",
            f"A head recipe of HeadAtlas: {len(self.heads)} heads, {self.heads}.", "",
            f"Settings: {json.dumps(dict(self.settings), default=str)}", "",
        ]  # fmt: skip
        if self.evidence:
            names = list(self.evidence[0])
            lines += ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
            lines += ["| " + " | ".join(_cell(row.get(name)) for name in names) + " |" for row in self.evidence]
            lines.append("")
        lines += ["```python", "import headatlas as ha", f"vlm = ha.load_vlm({self.model!r}, recipe=FOLDER)", "```", ""]
        return "\n".join(lines)

    # -- on a model ------------------------------------------------------------------------------------------------

    def check(self, vlm: EditableModel) -> None:
        """Raise `HeadAtlasError` unless the recipe was made for this model; the message says what differs."""
        parts = identity(vlm.model, vlm.processor)
        found = differences(self.identity, {name: parts[name] for name in OF_MODEL if name in parts})
        if found:
            wanted = self.dtype if self.dtype != parts["dtype"] else None
            hint = f"; load it with dtype={wanted!r} (on the command line --dtype {wanted})" if wanted else ""
            raise HeadAtlasError(
                f"the recipe was made for {self.model!r}, and {vlm.name!r} is another model: {found}{hint}"
            )

    @contextmanager
    def applied(self, vlm: EditableModel) -> Iterator[None]:
        """Within the block the model answers with the recipe.

        Raises:
            HeadAtlasError: it was made for another model.
        """
        self.check(vlm)
        with updated(vlm, _on(vlm, self.low_rank)), vlm.edit(*self.edits, scope=self.scope):
            yield

    def merge(self, vlm: EditableModel, folder: str | Path) -> Path:
        """Write the model with the recipe in its weights, as a checkpoint of transformers; `vlm` stays as it is.

        Raises:
            HeadAtlasError: the recipe is of another model, or is not a change of weights (attention edits, other scopes than
                `all`, additions to heads whose output projection has no bias), or the model is one that a checkpoint cannot
                hold: with adapters, hooks, replaced or offloaded layers, or layers that share the weight to be changed.
        """
        self.check(vlm)
        require_plain(vlm.model)
        changes = self._weight_changes(vlm)
        require_own(vlm.model, [tensor for tensor, _ in changes])
        _new_folder(folder)
        before = [(tensor, tensor.detach().clone()) for tensor, _ in changes]
        try:
            with torch.no_grad():
                for tensor, value in changes:
                    tensor.copy_(value)
            with no_bars():
                _save(vlm.model, folder)
            vlm.processor.save_pretrained(folder)
        finally:
            with torch.no_grad():
                for tensor, value in before:
                    tensor.copy_(value)
        return Path(folder)

    def export_peft(self, vlm: EditableModel, folder: str | Path) -> Path:
        """Write the recipe as a LoRA adapter, which `PeftModel.from_pretrained` loads without HeadAtlas.

        A head's factor is an update of its output projection of rank d_head.

        Raises:
            HeadAtlasError: the recipe is of another model, or is not a low-rank change of weights, or the model is not plain
                (see `merge`).
        """
        self.check(vlm)
        require_plain(vlm.model)
        paths = {*self.low_rank, *(vlm.heads.site(head).name for edit in self._plain_edits() for head in edit.heads)}
        require_own(vlm.model, [linear_at(vlm, path).weight for path in sorted(paths)])
        updates = _on(vlm, dict(self.low_rank) | self._factors_as_low_rank(vlm))
        _new_folder(folder)
        config = lora_config({path: len(a) for path, (a, _) in updates.items()})
        config.base_model_name_or_path, config.inference_mode = vlm.name, True
        Path(folder).mkdir(parents=True, exist_ok=True)
        config.save_pretrained(str(folder))
        tensors = {f"base_model.model.{path}.lora_A.weight": a for path, (a, _) in updates.items()}
        tensors |= {f"base_model.model.{path}.lora_B.weight": b for path, (_, b) in updates.items()}
        file = Path(folder) / "adapter_model.safetensors"
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, file, {"format": "pt"})
        return Path(folder)

    def _plain_edits(self) -> list[Edit]:
        """The edits, if all are changes of weights."""
        for edit in self.edits:
            if isinstance(edit, AttentionEdit):
                raise HeadAtlasError(
                    f"{edit.name} changes attention, which no weight does: use the recipe with load_vlm"
                )
            if edit.heads.towers() != ("L",):
                raise HeadAtlasError(f"only heads of the language model can be merged, got {edit.heads}")
        if self.edits and self.scope != "all":
            raise HeadAtlasError(
                f"edits at {self.scope!r} positions are no change of weights: use the recipe with load_vlm"
            )
        return [edit for edit in self.edits if isinstance(edit, Edit)]

    def _weight_changes(self, vlm: EditableModel) -> list[tuple[Tensor, Tensor]]:
        """Each parameter that the recipe changes, with its new value."""
        weights: dict[str, Tensor] = {}
        biases: dict[str, Tensor] = {}
        for path, (a, b) in _on(vlm, self.low_rank).items():
            weight = linear_at(vlm, path).weight
            weights[path] = weight.detach() + (b.double() @ a.double()).to(weight.dtype)
        # The last edit is the nearest to the weight: W (f2 (f1 z + s1) + s2).
        for edit in reversed(self._plain_edits()):
            for head in edit.heads:
                site = vlm.heads.site(head)
                linear = linear_at(vlm, site.name)
                columns = slice(head.head * site.d_head, (head.head + 1) * site.d_head)
                weight = weights.setdefault(site.name, linear.weight.detach().clone())
                if edit.shift is not None:
                    if linear.bias is None:
                        raise HeadAtlasError(
                            f"{site.name} has no bias that could hold what {edit.name!r} adds: use the recipe with load_vlm"
                        )
                    shift = edit.shift[head.layer, head.head, : site.d_head].to(weight)
                    bias = biases.setdefault(site.name, linear.bias.detach().clone())
                    bias += weight[:, columns] @ shift
                weight[:, columns] *= edit.factor
        made: list[tuple[Tensor, Tensor]] = [(linear_at(vlm, path).weight, value) for path, value in weights.items()]
        for path, value in biases.items():
            bias = linear_at(vlm, path).bias
            assert isinstance(bias, nn.Parameter)
            made.append((bias, value))
        return made

    def _factors_as_low_rank(self, vlm: EditableModel) -> dict[str, tuple[Tensor, Tensor]]:
        """The edits' factors as updates of output projections: A picks the heads' z, B is W_O (factor - 1)."""
        factors: dict[str, dict[int, float]] = {}
        for edit in self._plain_edits():
            if edit.shift is not None:
                raise HeadAtlasError(
                    f"what {edit.name!r} adds to a head is no low-rank update: use the recipe with load_vlm"
                )
            for head in edit.heads:
                of_site = factors.setdefault(vlm.heads.site(head).name, {})
                of_site[head.head] = of_site.get(head.head, 1.0) * edit.factor
        updates = {}
        sites = {site.name: site for site in vlm.heads.tower("L")}
        for path, heads in factors.items():
            if path in self.low_rank:
                raise HeadAtlasError(f"{path} has a low-rank update and factors: merge the recipe instead")
            weight, d = linear_at(vlm, path).weight.detach(), sites[path].d_head
            columns = torch.cat([torch.arange(h * d, (h + 1) * d) for h in sorted(heads)]).to(weight.device)
            by = torch.cat([torch.full((d,), heads[h] - 1.0) for h in sorted(heads)]).to(weight)
            pick = torch.zeros(len(columns), weight.shape[1], dtype=weight.dtype, device=weight.device)
            pick[torch.arange(len(columns), device=weight.device), columns] = 1.0
            updates[path] = (pick, weight[:, columns] * by)
        return updates


def _on(vlm: EditableModel, updates: LowRank) -> dict[str, tuple[Tensor, Tensor]]:
    """The updates on the device and in the dtype of each layer."""
    made = {}
    for path, (a, b) in updates.items():
        weight = linear_at(vlm, path).weight
        made[path] = (a.to(weight), b.to(weight))
    return made


def _edit_json(edit: Edit | AttentionEdit, name: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    common = {"heads": list(map(str, edit.heads)), "name": edit.name}
    if isinstance(edit, AttentionEdit):
        return common | {"kind": edit.kind, "keys": "image", "amount": edit.amount, "others": edit.others}
    if edit.shift is not None:
        tensors[name] = edit.shift.float()
    return common | {"factor": edit.factor, "shift": name if edit.shift is not None else None}


def _edit_of(record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Edit | AttentionEdit:
    heads = HeadSet(record["heads"])
    if "kind" in record:
        return AttentionEdit(heads, record["kind"], "image", record["amount"], record["others"], record["name"])
    shift = None if record["shift"] is None else tensors[record["shift"]]
    return Edit(heads, record["factor"], shift, record["name"])


def _save(model: Any, folder: str | Path) -> None:
    try:
        model.save_pretrained(folder)
    except (RuntimeError, ValueError) as error:  # such as weights that are shared otherwise than the class does
        raise HeadAtlasError(f"the model cannot be saved: {' '.join(str(error).split())[:200]}") from error


def _new_folder(folder: str | Path) -> None:
    path = Path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise HeadAtlasError(f"{str(folder)!r} must be a new or an empty folder")


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value).replace("|", "\\|").replace("\n", " ")
