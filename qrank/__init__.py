"""Search local documents with BM25, embeddings and a reranker. The names below are the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qrank.api import Index
    from qrank.direct import Embedding, Reranking, embed, rerank
    from qrank.errors import QrankError
    from qrank.results import Answer, IndexReport, Mode, RankedText, Result
    from qrank.settings import Placement

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "Embedding",
    "Index",
    "IndexReport",
    "Mode",
    "Placement",
    "QrankError",
    "RankedText",
    "Reranking",
    "Result",
    "__version__",
    "embed",
    "rerank",
]

_HOMES = {
    "qrank.api": ("Index",),
    "qrank.direct": ("Embedding", "Reranking", "embed", "rerank"),
    "qrank.errors": ("QrankError",),
    "qrank.settings": ("Placement",),
    "qrank.results": ("Answer", "IndexReport", "Mode", "RankedText", "Result"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `qrank --help` needs none of them."""
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'qrank' has no attribute {name!r}")
