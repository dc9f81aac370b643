"""The Python API that needs no index: reranking and embedding texts, splitting files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING

from qrank.arguments import (
    path_list,
    require_count,
    require_number,
    require_progress,
    require_type,
    text_list,
)
from qrank.chunk_text import Citation, Verdict
from qrank.closing import Closing
from qrank.errors import InputError
from qrank.models.registry import Registry, Role
from qrank.names import disk_path
from qrank.results import Embedded, Result
from qrank.searching.pack import Packed
from qrank.searching.rerank import RankedText
from qrank.settings import ANYWHERE, AUTO, NO_SETTINGS, Placement, Reading, Settings, Walking
from qrank.urls import IndexPlace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qrank.indexing.plan import FilePlan
    from qrank.indexing.prefixes import Prefix
    from qrank.progress import Progress


def rerank(
    query: str,
    texts: str | Sequence[str],
    *,
    model: str | None = None,
    instruction: str | None = None,
    candidates: int | None = None,
    budget: float | None = None,
    progress: Progress | None = None,
    placement: Placement = ANYWHERE,
    settings: Settings = NO_SETTINGS,
) -> list[RankedText]:
    """Score texts by how well they answer query, best first.

    candidates: only so many of BM25's best texts are scored by the model. budget: seconds after
    which scoring stops. Texts that were not scored come last, in BM25 order, without a score. For
    many calls use Reranking. Raises InputError for an empty query, ModelError.
    """
    _require_query(query)
    texts = text_list("texts", texts)
    if not texts:
        return []
    with Reranking(model, placement=placement, settings=settings) as reranking:
        return reranking(
            query,
            texts,
            instruction=instruction,
            candidates=candidates,
            budget=budget,
            progress=progress,
        )


def _require_query(query: str) -> None:
    require_type("query", query, str)
    if not query.strip():
        raise InputError("the query is empty", hint="give a query to score the documents against")


def _require_model(model: str | None, placement: Placement, settings: Settings) -> None:
    require_type("model", model, str, NoneType)
    require_type("placement", placement, Placement)
    require_type("settings", settings, Settings)


class Reranking(Closing):
    """A loaded reranking model. Call it with a query and texts; see rerank."""

    def __init__(
        self,
        model: str | None = None,
        *,
        placement: Placement = ANYWHERE,
        settings: Settings = NO_SETTINGS,
    ) -> None:
        """model: named as on the command line. Raises ModelError."""
        from qrank.inference.loading import load_reranker

        _require_model(model, placement, settings)
        name = settings.get("rerank_model", model, AUTO) or AUTO
        choice = Registry(settings).resolve(Role.reranker, name)
        self._reranker = load_reranker(choice, settings.placement(placement))
        self._share = choice.entry.rerank_weight

    def __call__(
        self,
        query: str,
        texts: str | Sequence[str],
        *,
        instruction: str | None = None,
        candidates: int | None = None,
        budget: float | None = None,
        progress: Progress | None = None,
    ) -> list[RankedText]:
        """As qrank.rerank."""
        from qrank.searching.rerank import rerank_texts

        _require_query(query)
        require_count("candidates", candidates, optional=True)
        require_type("instruction", instruction, str, NoneType)
        require_number("budget", budget, least=0)
        require_progress(progress)
        return rerank_texts(
            self._reranker,
            self._share,
            query,
            text_list("texts", texts),
            candidates=candidates,
            instruction=instruction,
            budget=budget,
            progress=progress,
        )

    @property
    def takes_instruction(self) -> bool:
        """Whether the model's prompt takes an instruction."""
        return self._reranker.takes_instruction

    def close(self) -> None:
        """Free the model."""
        self._reranker.close()


class Embedding(Closing):
    """A loaded embedding model. Call it with texts to get unit vectors."""

    def __init__(
        self,
        model: str | None = None,
        *,
        placement: Placement = ANYWHERE,
        settings: Settings = NO_SETTINGS,
    ) -> None:
        """model: named as on the command line. Raises ModelError."""
        from qrank.inference.loading import load_embedder

        _require_model(model, placement, settings)
        name = settings.get("embed_model", model, AUTO) or AUTO
        choice = Registry(settings).resolve(Role.embedder, name)
        self._embedder = load_embedder(choice, settings.placement(placement))

    def __call__(
        self,
        texts: str | Sequence[str],
        *,
        query: bool = False,
        instruction: str | None = None,
        dims: int | None = None,
    ) -> NDArray[np.float32]:
        """Unit vectors of shape (len(texts), dims). query: embed the texts as queries, else as
        documents. dims: truncate vectors to this length. Raises InputError."""
        return self.embed(texts, query=query, instruction=instruction, dims=dims).vectors

    def embed(
        self,
        texts: str | Sequence[str],
        *,
        query: bool = False,
        instruction: str | None = None,
        dims: int | None = None,
    ) -> Embedded:
        """The same vectors, and which texts were truncated to the model's context."""
        require_count("dims", dims, optional=True)
        require_type("query", query, bool)
        require_type("instruction", instruction, str, NoneType)
        texts = text_list("texts", texts)
        if query:
            return self._embedder.queries(texts, instruction, dims)
        return self._embedder.documents(texts, dims)

    @property
    def window(self) -> int:
        """The longest text of the model, in tokens; longer ones are truncated."""
        return self._embedder.window

    @property
    def takes_instruction(self) -> bool:
        """Whether the model's query prompt takes an instruction."""
        return self._embedder.takes_instruction

    def close(self) -> None:
        """Free the model."""
        self._embedder.close()


def embed(
    texts: str | Sequence[str],
    *,
    model: str | None = None,
    query: bool = False,
    instruction: str | None = None,
    dims: int | None = None,
    placement: Placement = ANYWHERE,
    settings: Settings = NO_SETTINGS,
) -> NDArray[np.float32]:
    """Unit vectors of texts, of shape (len(texts), dims). For many calls use Embedding."""
    with Embedding(model, placement=placement, settings=settings) as embedding:
        return embedding(texts, query=query, instruction=instruction, dims=dims)


def pack(query: str, results: Sequence[Result], max_tokens: int) -> Packed:
    """The best results that fit into max_tokens with their locations, for a language model;
    adjacent chunks are merged. Tokens are estimated."""
    from qrank.searching.pack import pack

    require_type("query", query, str)
    require_type("results", results, Sequence)
    for result in results:
        require_type("results", result, Result)
    require_count("max_tokens", max_tokens)
    return pack(query, results, max_tokens)


def plan(
    paths: str | Path | Iterable[str | Path],
    *,
    walking: Walking | None = None,
    reading: Reading | None = None,
) -> Iterator[FilePlan]:
    """A dry run of `Index.add`: the chunks of files and folders, or why files are skipped.

    Raises InputError for a path that does not exist.
    """
    from qrank.indexing.plan import plan

    require_type("walking", walking, Walking, NoneType)
    require_type("reading", reading, Reading, NoneType)
    return plan(path_list("paths", paths), walking or Walking(), reading or Reading())


def tokens(text: str) -> int:
    """About how many tokens a text has for most models; an overestimate for most languages."""
    from qrank.searching.pack import estimate

    return estimate(text)


def verify(citation: Citation) -> Verdict:
    """The status of a citation: the file's bytes are compared and, if needed, its text is extracted
    again. See Verdict."""
    from qrank.chunk_text import text_hash
    from qrank.indexing.plan import plan
    from qrank.searching.places.verify import verify_text

    verdict = verify_text(citation)
    if verdict is not None:
        return verdict
    walking = Walking(ignore=False, include_secrets=True)
    moved: Verdict | None = None
    for file in plan([Path(disk_path(citation.path))], walking, Reading(archives=True)):
        for chunk in file.chunks if file.member == citation.member else ():
            if text_hash(chunk.text) == citation.hash:
                at = chunk.start_byte, chunk.end_byte
                if at == (citation.start_byte, citation.end_byte):
                    return Verdict("same", *at)
                moved = moved or Verdict("moved", *at)
    return moved or Verdict("changed")


def formats() -> dict[str, list[str]]:
    """The names of file formats, each with its suffixes."""
    from qrank.searching.file_types import formats

    return formats()


def prefixes(paths: Sequence[str]) -> list[Prefix]:
    """The start of each file as text, or why there is none."""
    from qrank.indexing.prefixes import prefixes

    return prefixes(paths)


def changes(
    paths: str | Path | Iterable[str | Path],
    *,
    walking: Walking | None = None,
    but: IndexPlace | None = None,
) -> Iterator[None]:
    """Watch paths from this call on; yield each time that something below them has changed, except
    the index file (but)."""
    from qrank.indexing.watch import changes

    require_type("walking", walking, Walking, NoneType)
    return changes(path_list("paths", paths), walking or Walking(), but)
