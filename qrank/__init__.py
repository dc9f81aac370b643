"""Search local documents with BM25, embeddings and a reranker. The names below are the API."""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing would slow down quick commands

if TYPE_CHECKING:
    from typing import Any

    from qrank.analysis.copies import Copy
    from qrank.analysis.links import FoundLink, Links, Mention
    from qrank.analysis.spelling import Suggestion
    from qrank.api import Index
    from qrank.arguments import FilterOptions
    from qrank.config import load_settings
    from qrank.errors import (
        ExtractError,
        IndexFileError,
        InputError,
        ModelError,
        NoTextError,
        QrankError,
        QueryError,
    )
    from qrank.indexes import Indexes
    from qrank.indexing.plan import FilePlan
    from qrank.indexing.update import Collected
    from qrank.progress import Progress
    from qrank.reports import (
        Check,
        FieldCount,
        FileError,
        IndexedFile,
        IndexReport,
        PathStatus,
        SkipReason,
        ValueCount,
    )
    from qrank.results import (
        Answer,
        Chunk,
        Embedded,
        IndexedChunk,
        Mode,
        RerankScore,
        Result,
        Scores,
        Signature,
        Sort,
        StageScore,
        Stale,
    )
    from qrank.searching.pack import Packed, PackedChunk
    from qrank.searching.rerank import RankedText
    from qrank.settings import Placement, Reading, Settings, Walking
    from qrank.standalone import Embedding, Reranking, changes, embed, pack, plan, rerank
    from qrank.urls import IndexPlace, IndexUrl

__version__ = "0.1.0"

_MODULES = {
    "qrank.analysis.copies": ("Copy",),
    "qrank.analysis.links": ("FoundLink", "Links", "Mention"),
    "qrank.analysis.spelling": ("Suggestion",),
    "qrank.api": ("Index",),
    "qrank.arguments": ("FilterOptions",),
    "qrank.config": ("load_settings",),
    "qrank.standalone": ("Embedding", "Reranking", "changes", "embed", "pack", "plan", "rerank"),
    "qrank.errors": (
        *("ExtractError", "IndexFileError", "InputError", "ModelError", "NoTextError"),
        *("QrankError", "QueryError"),
    ),
    "qrank.indexing.plan": ("FilePlan",),
    "qrank.indexing.update": ("Collected",),
    "qrank.progress": ("Progress",),
    "qrank.reports": (
        *("Check", "FieldCount", "FileError", "IndexReport", "IndexedFile", "PathStatus"),
        *("SkipReason", "ValueCount"),
    ),
    "qrank.results": (
        *("Answer", "Chunk", "Embedded", "IndexedChunk", "Mode", "RerankScore", "Result"),
        *("Scores", "Signature", "Sort", "StageScore", "Stale"),
    ),
    "qrank.searching.pack": ("Packed", "PackedChunk"),
    "qrank.searching.rerank": ("RankedText",),
    "qrank.settings": ("Placement", "Reading", "Settings", "Walking"),
    "qrank.indexes": ("Indexes",),
    "qrank.urls": ("IndexPlace", "IndexUrl"),
}
__all__ = [
    "Answer",
    "Check",
    "Chunk",
    "Collected",
    "Copy",
    "Embedded",
    "Embedding",
    "ExtractError",
    "FieldCount",
    "FileError",
    "FilePlan",
    "FilterOptions",
    "FoundLink",
    "Index",
    "IndexFileError",
    "IndexPlace",
    "IndexReport",
    "IndexUrl",
    "IndexedChunk",
    "IndexedFile",
    "Indexes",
    "InputError",
    "Links",
    "Mention",
    "Mode",
    "ModelError",
    "NoTextError",
    "Packed",
    "PackedChunk",
    "PathStatus",
    "Placement",
    "Progress",
    "QrankError",
    "QueryError",
    "RankedText",
    "Reading",
    "RerankScore",
    "Reranking",
    "Result",
    "Scores",
    "Settings",
    "Signature",
    "SkipReason",
    "Sort",
    "StageScore",
    "Stale",
    "Suggestion",
    "ValueCount",
    "Walking",
    "__version__",
    "changes",
    "embed",
    "load_settings",
    "pack",
    "plan",
    "rerank",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import qrank` is fast."""
    from importlib import import_module

    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'qrank' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
