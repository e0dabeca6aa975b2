"""Capture z at selected tokens, with one pass per question, and store it on disk."""

from headatlas.activations.attention import AttentionSummaries, attention
from headatlas.activations.capture import capture
from headatlas.activations.store import Activations
from headatlas.activations.tokens import TOKENS

__all__ = ["TOKENS", "Activations", "AttentionSummaries", "attention", "capture"]
