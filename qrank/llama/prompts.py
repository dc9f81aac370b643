"""What the models are given around the text. Change PROMPT_VERSION with any of it.

Sources: the model cards of Qwen3-Embedding and Qwen3-Reranker (Qwen, Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Callable

PROMPT_VERSION = 1
QueryPrompt = Callable[[str, str | None], str]  # (query, instruction) -> what is embedded

TASK = "Given a web search query, retrieve relevant passages that answer the query"

RERANK_PREFIX = (
    "<|im_start|>system\n"
    "Judge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
RERANK_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def embed_query(architecture: str) -> QueryPrompt | None:
    """How a family of embedders wants its queries; None: bare, as documents are."""
    return _EMBED_QUERY.get(architecture)


def _qwen3_query(query: str, instruction: str | None = None) -> str:
    """Qwen3-Embedding's: no blank after "Query:"."""
    return f"Instruct: {instruction or TASK}\nQuery:{query}"


_EMBED_QUERY: dict[str, QueryPrompt] = {"qwen3": _qwen3_query}


def rerank_question(query: str, instruction: str | None = None) -> tuple[str, str]:
    """The part of the user turn that all candidates share: what the user says, which may be cut
    when it is too long, and the template's own end.

    It ends before the blank that precedes the document: the Qwen pre-tokeniser always splits
    there, so this part and " " + document give the same token ids apart as joined.
    """
    return f"<Instruct>: {instruction or TASK}\n<Query>: {query}", "\n<Document>:"


def rerank_document(document: str) -> str:
    """The part of the user turn that differs from candidate to candidate."""
    return f" {document}"
