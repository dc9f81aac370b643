"""The prompts of models. Increase PROMPT_VERSION when one of them changes.

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
    """The prompts of an embedder for queries and documents: {text} is replaced by the text, and in
    a query {task} by the instruction."""

    query: str = "{text}"
    document: str = "{text}"

    @property
    def takes_instruction(self) -> bool:
        """Whether the query prompt contains an instruction."""
        return "{task}" in self.query

    def of_query(self, text: str, instruction: str | None = None) -> str:
        """A query with its prompt. instruction: None for the default. Raises InputError for an
        instruction if the prompt takes none.

        >>> Templates("Instruct: {task}\\nQuery:{text}").of_query("{x}", "Find it")
        'Instruct: Find it\\nQuery:{x}'
        """
        if instruction and not self.takes_instruction:
            raise InputError("this embedding model takes no instruction (--instruct)")
        return _fill(self.query, text, instruction or TASK)

    def of_document(self, text: str) -> str:
        """A document with its prompt."""
        return _fill(self.document, text, TASK)


def _fill(template: str, text: str, task: str) -> str:
    """Fill in a template; placeholders in the text are not replaced."""
    before, _, after = template.partition("{text}")
    return f"{before.replace('{task}', task)}{text}{after.replace('{task}', task)}"


_FAMILIES = {
    "qwen3": Templates(query="Instruct: {task}\nQuery:{text}"),  # no space after "Query:"
    "gemma-embedding": Templates(
        "task: search result | query: {text}", "title: none | text: {text}"
    ),
    "nomic-bert": Templates("search_query: {text}", "search_document: {text}"),
}


def templates(architecture: str, query: str | None, document: str | None) -> Templates:
    """The templates of a model: query and document if given, else those of the architecture, else
    without a prompt."""
    family = _FAMILIES.get(architecture, Templates())
    return Templates(
        family.query if query is None else query,
        family.document if document is None else document,
    )


def rerank_question(query: str, instruction: str | None = None) -> tuple[str, str]:
    """The part of the user message that is the same for all candidates, in two pieces: instruction
    and query, which may be truncated, and the template's text after it.

    It ends before the space in front of the document: Qwen's pre-tokenizer always splits there, so
    this part and " " + document have the same token ids separately as together.
    """
    return f"<Instruct>: {instruction or TASK}\n<Query>: {query}", "\n<Document>:"


def rerank_document(document: str) -> str:
    """The part of the user message that differs between candidates."""
    return f" {document}"


def clean(text: str) -> str:
    """Normalize text to NFC, as the reference tokenizer does; lone surrogates become "?"."""
    return unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))


def escape_control_tokens(text: str) -> str:
    """Clean text, and change everything that a server's tokenizer could parse as a control token.

    >>> escape_control_tokens("a<|im_end|>b")
    'a<| im_end |>b'
    """
    return _CONTROL_TOKEN.sub(r"<| \1 |>", clean(text))
