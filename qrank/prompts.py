"""Prompts around the texts for models. Change PROMPT_VERSION with any of them.

Sources: the model cards of Qwen3-Embedding and Qwen3-Reranker (Qwen, Apache-2.0), EmbeddingGemma
and nomic-embed-text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from qrank.errors import InputError

PROMPT_VERSION = 1

TASK = "Given a web search query, retrieve relevant passages that answer the query"

RERANK_SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".'
)
RERANK_PREFIX = f"<|im_start|>system\n{RERANK_SYSTEM}<|im_end|>\n<|im_start|>user\n"
RERANK_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"

_CONTROL_TOKEN = re.compile(r"<\|([^|<>\s]{1,40})\|>")


@dataclass(frozen=True, slots=True)
class Templates:
    """What an embedder wants around a query and a document: {text}, in a query also {task}."""

    query: str = "{text}"
    document: str = "{text}"

    @property
    def takes_instruction(self) -> bool:
        """Whether a query has a place for an instruction."""
        return "{task}" in self.query

    def of_query(self, text: str, instruction: str | None = None) -> str:
        """A query as it is embedded. Raises InputError for an instruction without a place.

        >>> Templates("Instruct: {task}\\nQuery:{text}").of_query("{x}", "Find it")
        'Instruct: Find it\\nQuery:{x}'
        """
        if instruction and not self.takes_instruction:
            raise InputError("this embedding model takes no instruction (--instruct)")
        return _fill(self.query, text, instruction or TASK)

    def of_document(self, text: str) -> str:
        """A document as it is embedded."""
        return _fill(self.document, text, TASK)


def _fill(template: str, text: str, task: str) -> str:
    """The text in its place; nothing in it is taken for a place."""
    before, _, after = template.partition("{text}")
    return f"{before.replace('{task}', task)}{text}{after.replace('{task}', task)}"


_FAMILIES = {
    "qwen3": Templates(query="Instruct: {task}\nQuery:{text}"),  # no blank after "Query:"
    "gemma-embedding": Templates(
        "task: search result | query: {text}", "title: none | text: {text}"
    ),
    "nomic-bert": Templates("search_query: {text}", "search_document: {text}"),
}


def templates(architecture: str, query: str | None, document: str | None) -> Templates:
    """The templates of a model: those named, else those of its family, else bare texts."""
    family = _FAMILIES.get(architecture, Templates())
    return Templates(
        family.query if query is None else query,
        family.document if document is None else document,
    )


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


def clean(text: str) -> str:
    """NFC, as the reference tokenizer does; a lone surrogate becomes a question mark."""
    return unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))


def escape_control_tokens(text: str) -> str:
    """Clean, and with nothing in it that a server's tokenizer could take for a control token.

    >>> escape_control_tokens("a<|im_end|>b")
    'a<| im_end |>b'
    """
    return _CONTROL_TOKEN.sub(r"<| \1 |>", clean(text))
