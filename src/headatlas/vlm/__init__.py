"""Load a VLM, turn questions into chats and batches, read and generate answers, evaluate."""

from headatlas.vlm.batch import Batch, encode
from headatlas.vlm.chat import Conversation, Turn, conversation
from headatlas.vlm.evaluate import evaluate
from headatlas.vlm.generate import generate
from headatlas.vlm.load import check_vlm, load_vlm
from headatlas.vlm.model import VLM
from headatlas.vlm.read import Readout, read
from headatlas.vlm.recipe import HeadRecipe

__all__ = [
    "VLM",
    "Batch",
    "Conversation",
    "HeadRecipe",
    "Readout",
    "Turn",
    "check_vlm",
    "conversation",
    "encode",
    "evaluate",
    "generate",
    "load_vlm",
    "read",
]
