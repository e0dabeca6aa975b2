"""Asking language models over HTTP, each question paid for once: OpenAI-compatible endpoints, retries, a cache on disk, costs.

Knows HTTP, JSON and SQLite; knows nothing of CogVSR and no torch. Needs the extra `llm` (httpx).
"""

from headatlas.annotate.llm.cache import Reply, ReplyCache
from headatlas.annotate.llm.client import LLM, run
from headatlas.annotate.llm.costs import Prices, Usage
from headatlas.annotate.llm.each import each
from headatlas.annotate.llm.endpoint import CallFailed, Endpoint, EndpointDown
from headatlas.annotate.llm.messages import Message, Picture, Request
from headatlas.annotate.llm.prompt import Prompt
from headatlas.annotate.llm.structured import Unusable, ask_for

__all__ = [
    "LLM",
    "CallFailed",
    "Endpoint",
    "EndpointDown",
    "Message",
    "Picture",
    "Prices",
    "Prompt",
    "Reply",
    "ReplyCache",
    "Request",
    "Unusable",
    "Usage",
    "ask_for",
    "each",
    "run",
]
