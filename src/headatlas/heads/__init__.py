"""Find, name, read and edit the attention heads of any vision-language model of transformers, or any torch model like one."""

from headatlas.heads.address import BATCH_TOWERS, TEXT_TOWERS, TOWERS, Head, Heads, HeadSet, Tower, as_head, as_heads
from headatlas.heads.apply import ActiveEdit, compile_edits, edit_heads, edits_in_force, edits_key
from headatlas.heads.attention import AttentionEdit, AttentionReader, AttentionRows, attend, block, scale_attention
from headatlas.heads.edit import Edit, mean, patch, scale, steer, zero
from headatlas.heads.find import find_heads
from headatlas.heads.grid import HeadGrid, Site
from headatlas.heads.hooks import at_sites, uncompiled
from headatlas.heads.read import ZReader
from headatlas.heads.scope import SCOPES, Positions, Scope

__all__ = [
    "BATCH_TOWERS",
    "SCOPES",
    "TEXT_TOWERS",
    "TOWERS",
    "ActiveEdit",
    "AttentionEdit",
    "AttentionReader",
    "AttentionRows",
    "Edit",
    "Head",
    "HeadGrid",
    "HeadSet",
    "Heads",
    "Positions",
    "Scope",
    "Site",
    "Tower",
    "ZReader",
    "as_head",
    "as_heads",
    "at_sites",
    "attend",
    "block",
    "compile_edits",
    "edit_heads",
    "edits_in_force",
    "edits_key",
    "find_heads",
    "mean",
    "patch",
    "scale",
    "scale_attention",
    "steer",
    "uncompiled",
    "zero",
]
