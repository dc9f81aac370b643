"""The tools for agents, as methods that return text; server.py registers them with MCP."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qrank.agents.deadline import Attempt, Cancellable, first_in_time
from qrank.agents.pages import DEFAULT_TOKENS, Block, Pages
from qrank.arguments import moment
from qrank.errors import InputError
from qrank.names import path_from
from qrank.results import IndexedChunk, Mode, Result, location, page_label
from qrank.urls import IndexPlace

if TYPE_CHECKING:
    from qrank.api import Index
    from qrank.results import Answer
    from qrank.serve.pool import Pool
    from qrank.settings import Settings

BUDGET = 10.0  # seconds for a search with reranking; then it is done without
WITHOUT_RERANKER = 3.0  # seconds for that; then only keywords are searched
MOST_RESULTS = 100
_LINES = re.compile(r"(\d{1,9})?(-)?(\d{1,9})?")
SHOWN_COPIES = 3  # of a result
_PLACE = re.compile(r"(.+?):(\d{1,9}(?:-\d{1,9})?)")


class Tools:
    """The tools. Thread-safe.

    Every method raises QrankError, and CancelledError when its progress is cancelled.
    """

    def __init__(
        self,
        pool: Pool,
        settings: Callable[[Path | None], Settings],
        *,
        db: IndexPlace | None = None,
        folder: str | None = None,
        embed_model: str | None = None,
        rerank_model: str | None = None,
        budget: float = BUDGET,
    ) -> None:
        """settings: returns the settings for a folder. db: the default index. folder: paths below
        it are shown relative to it. budget: seconds for a search with reranking."""
        self._pool, self._settings = pool, settings
        self._db, self._folder, self._budget = db, folder, budget
        self._models = {"embed_model": embed_model, "rerank_model": rerank_model}
        self._pages = Pages()
        # Two executors, so that searches without reranking never wait for those with it.
        self._slow = ThreadPoolExecutor(8, "qrank-rerank")
        self._quick = ThreadPoolExecutor(8, "qrank-search")

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        mode: str = "hybrid",
        rerank: bool = True,
        path: str = "",
        types: Sequence[str] = (),
        where: Sequence[str] = (),
        collections: Sequence[str] = (),
        since: str = "",
        until: str = "",
        max_tokens: int = DEFAULT_TOKENS,
        cursor: str = "",
        index: str = "",
        progress: Cancellable | None = None,
    ) -> str:
        """The chunks that answer a query, best first."""
        if cursor:
            return self._pages.next("search", cursor, max_tokens)
        search_mode = Mode(mode)
        run = partial(
            self._search,
            self._path(index),
            query,
            limit=_limit(limit),
            collections=list(collections),
            path=path or None,
            types=list(types),
            where=list(where),
            since=moment("since", since, end=False) if since else None,
            until=moment("until", until, end=True) if until else None,
        )
        attempts = []
        if rerank and search_mode is Mode.hybrid:
            # Less than the whole budget, so that a slow reranker returns a partial result in time.
            slow = partial(run, mode=search_mode, rerank=True, budget=0.8 * self._budget)
            attempts.append(Attempt(slow, self._budget, self._slow))
        if search_mode is Mode.hybrid:
            attempts.append(
                Attempt(partial(run, mode=search_mode, rerank=False), WITHOUT_RERANKER, self._quick)
            )
            search_mode = Mode.bm25
        attempts.append(Attempt(partial(run, mode=search_mode, rerank=False), None, self._quick))
        number, result = first_in_time(attempts, progress or Cancellable())
        answer: Answer = result  # type: ignore[assignment]
        notes = list(answer.notices)
        notes += [
            f"no document has the word {each.word!r}; the nearest is {each.instead!r}"
            for each in answer.suggestions
        ]
        if number == 0 and answer.truncated:
            notes.append(
                f"only the best {answer.reranked} were reranked: the rest did not fit into "
                f"{self._budget:g} s"
            )
        if number and rerank and len(attempts) == 3:
            order = "BM25 and vectors" if number == 1 else "keywords (BM25) alone"
            notes.append(
                f"not reranked: the reranker did not answer within {self._budget:g} s (it may be "
                f"loading; asking again can help), so this is the order of {order}"
            )
        elif number and not rerank and len(attempts) == 2:
            notes.append(
                "by keywords (BM25) alone: the embedding model did not answer in time (it may be "
                "loading; asking again can help)"
            )
        head = _head(answer, f"for {query.strip()[:200]!r}", notes)
        return self._pages.first("search", head, self._blocks(answer.results), max_tokens)

    def similar(
        self,
        place: str,
        *,
        limit: int = 10,
        path: str = "",
        collections: Sequence[str] = (),
        max_tokens: int = DEFAULT_TOKENS,
        cursor: str = "",
        index: str = "",
    ) -> str:
        """The chunks most similar to a file, or to the chunk at PATH:LINE."""
        if cursor:
            return self._pages.next("similar", cursor, max_tokens)
        match = _PLACE.fullmatch(place.strip())
        if match:  # PATH:FIRST-LAST, as search prints it
            place = f"{match[1]}:{match[2].partition('-')[0]}"
        with self._opened(self._path(index)) as opened:
            answer = opened.similar(
                place, limit=_limit(limit), path=path or None, collections=list(collections)
            )
        head = _head(answer, f"like {place}", answer.notices)
        return self._pages.first("similar", head, self._blocks(answer.results), max_tokens)

    def get(
        self,
        *,
        id: str = "",
        path: str = "",
        lines: str = "",
        max_tokens: int = DEFAULT_TOKENS,
        cursor: str = "",
        index: str = "",
    ) -> str:
        """Chunks by id, or the indexed text of a file, all of it or some lines."""
        if cursor:
            return self._pages.next("get", cursor, max_tokens)
        if bool(id) == bool(path):
            raise InputError("give either id or path", hint="search prints both")
        with self._opened(self._path(index)) as opened:
            if id:
                by_id = [opened.get(word) for word in id.replace(",", " ").split()]
                blocks = [Block(self._place(c) + _about(c), c.text, c.start_line) for c in by_id]
                return self._pages.first("get", "", blocks, max_tokens)
            path, lines, chunks = _chunks_at(opened, path, lines)
        blocks = self._lines_of(chunks, *_line_range(lines))
        if not blocks:
            last = max(chunk.end_line for chunk in chunks)
            raise InputError(
                f"{path} has no text in lines {lines}", hint=f"its last line is {last}"
            )
        return self._pages.first("get", "", blocks, max_tokens)

    def status(self, *, index: str = "") -> str:
        """The numbers of files and chunks, the collections and the models of an index."""
        with self._opened(self._path(index)) as opened:
            status = opened.status()
        models = [f"{each['name']} ({each['vectors']} vectors)" for each in status["models"]]
        return "\n".join(
            [
                f"index: {status['db']}",
                f"files: {status['files']}, chunks: {status['chunks']}, bytes: {status['bytes']}",
                f"collections: {'; '.join(map(_collection, status['collections'])) or 'none'}",
                f"embedding models: {', '.join(models) or 'none; only keywords can be searched'}",
            ]
        )

    def close(self) -> None:
        """Take no more calls, without waiting for those that are running."""
        self._slow.shutdown(wait=False, cancel_futures=True)
        self._quick.shutdown(wait=False, cancel_futures=True)

    def _path(self, name: str) -> IndexPlace:
        """The index for a call: name is a file, or a folder whose settings say which one; "" is the
        default index."""
        if not name:
            return self._settings(None).index_path(self._db).absolute()
        path = Path(name).expanduser().absolute()
        if path.is_dir():
            return self._settings(path).index_path().absolute()
        _require_own(path)
        return path

    def _opened(self, path: IndexPlace) -> AbstractContextManager[Index]:
        return self._pool.index(path, **self._models)

    def _search(self, db: IndexPlace, query: str, progress: Cancellable, **options: Any) -> Answer:
        with self._opened(db) as index:
            return index.search(query, progress=progress, **options)

    def _blocks(self, results: Sequence[Result]) -> list[Block]:
        return [
            Block(
                f"[{r.rank}] {self._place(r)}{_about(r)}, {r.score_kind} score {r.score:.3g}"
                + self._copies(r),
                r.text,
                r.start_line,
            )
            for r in results
        ]

    def _copies(self, result: Result) -> str:
        """The locations of near-duplicates of a result; at most SHOWN_COPIES of them."""
        places = [
            f"{path_from(location(c.path, c.member), self._folder)}:{c.start_line}-{c.end_line}"
            for c in result.copies[:SHOWN_COPIES]
        ]
        more = len(result.copies) - len(places)
        return f"; copies: {', '.join(places)}{f' and {more} more' * (more > 0)}" if places else ""

    def _place(self, chunk: IndexedChunk) -> str:
        page = page_label(chunk.location, chunk.page)
        location = path_from(chunk.location, self._folder)
        return f"{location}:{chunk.start_line}-{chunk.end_line} {page}".rstrip()

    def _lines_of(self, chunks: Sequence[IndexedChunk], first: int, last: int) -> list[Block]:
        """A file's chunks that overlap some of its lines, without their other lines."""
        blocks = []
        for chunk in chunks:
            text, start, end = chunk.text, chunk.start_line, chunk.end_line
            if end < first or start > last:
                continue
            rows = text.splitlines(keepends=True)
            if len(rows) == end - start + 1:  # else its lines are not lines of the file
                rows = rows[max(0, first - start) : last - start + 1]
                start, end = max(start, first), min(end, last)
                text = "".join(rows).rstrip("\n")
            page = page_label(chunk.location, chunk.page)
            label = f"{path_from(chunk.location, self._folder)}:{start}-{end} {page}".rstrip()
            blocks.append(Block(label + _about(chunk), text, start))
        return blocks


def _chunks_at(index: Index, path: str, lines: str) -> tuple[str, str, list[IndexedChunk]]:
    """(path, lines, the file's chunks); path may have its lines, as search prints it
    (a.md:12-31)."""
    try:
        return path, lines, index.file_chunks(path)
    except InputError:
        match = _PLACE.fullmatch(path)
        if match is None or lines:
            raise
        return match[1], match[2], index.file_chunks(match[1])


def _collection(about: Mapping[str, Any]) -> str:
    """A collection, with what its user said of it."""
    rules, instruction = about["ignore"], about["instruction"]
    return "".join(
        [
            f"{about['name']} ({about['files']} files)",
            f": {about['description']}" if about["description"] else "",
            f" [not indexed: {', '.join(rules)}]" if rules else "",
            f" [the embedding model is told: {instruction}]" if instruction else "",
        ]
    )


def _limit(limit: int) -> int:
    if not 1 <= limit <= MOST_RESULTS:
        raise InputError(f"limit must be from 1 to {MOST_RESULTS}, not {limit}")
    return limit


def _line_range(lines: str) -> tuple[int, int]:
    """Parse a range of lines, as (first, last): "12-80", "12", "12-" or "-80"; "" is all lines.

    >>> _line_range("12-80"), _line_range("7"), _line_range("7-")[0], _line_range("-80")
    ((12, 80), (7, 7), 7, (1, 80))
    """
    match = _LINES.fullmatch(lines.strip().replace(":", "-"))
    if match is None:
        raise InputError(f"lines takes FROM-TO, as 12-80, not {lines!r}")
    first, dash, last = match.groups()
    start = int(first or 1)
    end = int(last) if last else start if first and not dash else 10**9
    if start > end:
        raise InputError(f"lines {lines} end before they begin")
    return start, end


def _require_own(path: Path) -> None:
    """Raise InputError unless the index file exists and belongs to this user."""
    try:
        owner = path.stat().st_uid
    except (OSError, ValueError):
        raise InputError(
            f"there is no index {path}", hint="name an index file or a folder"
        ) from None
    if hasattr(os, "geteuid") and owner != os.geteuid():
        raise InputError(f"{path} belongs to another user, so it is not used")


def _about(chunk: IndexedChunk) -> str:
    """The rest of a chunk's label, after its location."""
    title = chunk.heading or chunk.title
    parts = [f" ({title})" if title else "", f", id {chunk.id}"]
    if chunk.collection != "default":
        parts.append(f", collection {chunk.collection}")
    if chunk.stale:
        parts.append(", STALE: the file has changed since it was indexed")
    return "".join(parts).replace("\n", " ")


def _head(answer: Answer, what: str, notes: Sequence[str]) -> str:
    mode = answer.mode + (f", {answer.reranked} reranked" if answer.reranked else "")
    count = len(answer.results)
    first = f"{count} result{'s' * (count != 1)} {what} ({mode})" if count else f"No result {what}"
    return "\n".join([first, *(f"Note: {note}" for note in notes)])
