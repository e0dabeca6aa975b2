"""Ask language models behind OpenAI-compatible endpoints, with retries, a cache on disk, costs and validated replies.

Needs the extra `llm` (httpx).
"""

from headatlas.annotate.llm.cache import Reply, ReplyCache
from headatlas.annotate.llm.client import LLM, run
from headatlas.annotate.llm.costs import Prices, Usage
from headatlas.annotate.llm.each import each
from headatlas.annotate.llm.endpoint import CallFailed, Endpoint, EndpointDown
from headatlas.annotate.llm.messages import Message, Picture, Request
from headatlas.annotate.llm.prompt import Prompt
from headatlas.annotate.llm.structured import Answered, Unusable, ask_for
from headatlas.stopping import Stopped, stoppable

__all__ = [
    "LLM",
    "Answered",
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
    "Stopped",
    "Unusable",
    "Usage",
    "ask_for",
    "each",
    "run",
    "stoppable",
]
