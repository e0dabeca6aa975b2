"""Read and edit attention rows, head by head, beside the model's own kernels. Torch modules only."""

from headatlas.heads.attention.apply import edited_attention
from headatlas.heads.attention.call import AttentionCall
from headatlas.heads.attention.edit import AttentionEdit, attend, block, scale_attention, split_edits
from headatlas.heads.attention.interface import intercepted
from headatlas.heads.attention.read import AttentionReader, AttentionRows

__all__ = [
    "AttentionCall",
    "AttentionEdit",
    "AttentionReader",
    "AttentionRows",
    "attend",
    "block",
    "edited_attention",
    "intercepted",
    "scale_attention",
    "split_edits",
]
