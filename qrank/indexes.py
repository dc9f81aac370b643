"""Searching several indexes as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qrank.api import Index
from qrank.arguments import require_choice, require_count, require_progress, text_list
from qrank.closing import Closing
from qrank.errors import InputError
from qrank.progress import Silent
from qrank.results import Answer, Mode, Result, Sort, Stale
from qrank.searching.interpret.typos import corrected
from qrank.searching.multi_query import ranked, sums, total
from qrank.searching.selection import Selection
from qrank.urls import IndexPlace

if TYPE_CHECKING:
    from qrank.analysis.spelling import Suggestion
    from qrank.progress import Progress
    from qrank.settings import Walking

K = 60  # of reciprocal rank fusion, the usual value


class Indexes(Closing):
    """Several indexes, which may have different models, searched as one.

    >>> import qrank, tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("tea", "coffee"):
    ...     _ = (folder / f"{name}.md").write_text(f"# {name}\\n\\nHow to make {name}.\\n")
    ...     with qrank.Index(folder / f"{name}.db") as index:
    ...         _ = index.add([folder / f"{name}.md"])
    >>> both = [qrank.Index(folder / "tea.db"), qrank.Index(folder / "coffee.db")]
    >>> with qrank.Indexes(both) as indexes:
    ...     best = indexes.search("coffee").results[0]
    >>> best.heading, pathlib.Path(best.index).name
    ('coffee', 'coffee.db')
    """

    def __init__(self, indexes: Sequence[Index]) -> None:
        """indexes: at least one; they are closed by close(). Raises InputError for none."""
        if not indexes:
            raise InputError("no index was given", hint="name the index files to search")
        self._indexes = {str(index.path.absolute()): index for index in indexes}
        first, *others = self._indexes.values()
        self.path: IndexPlace = first.path
        for index in others:  # so that a model that several use is loaded once
            index._search_models = first._search_models

    def close(self) -> None:
        """Close all indexes."""
        for index in self._indexes.values():
            index.close()

    def refresh(
        self, seconds: float = 0.5, *, vectors: bool = False, walking: Walking | None = None
    ) -> list[str]:
        """As `Index.refresh`; each index gets an equal share of the time."""
        share = seconds / len(self._indexes)
        notices_of = (
            (path, index.refresh(share, vectors=vectors, walking=walking))
            for path, index in self._indexes.items()
        )
        return [f"{path}: {notice}" for path, notices in notices_of for notice in notices]

    def search(
        self,
        query: str | Sequence[str],
        *,
        mode: Mode | str = Mode.hybrid,
        limit: int = 10,
        offset: int = 0,
        candidates: int = 30,
        budget: float | None = None,
        answer_seconds: float | None = None,
        per_file: int | None = None,
        stale: Stale | str = Stale.warn,
        sort: Sort | str | None = None,
        copies: bool = False,
        correct: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> Answer:
        """As `Index.search`, which also has the further options. Each result's `index` is the path
        of its index; a chunk that is in several indexes is one result.

        Scores are compared if they are comparable: if the reranker's P(yes) is the score, or the
        vectors are of the same model. Otherwise results are interleaved by their rank in their
        index. Candidates and time limits are divided between the indexes. It is no error if only
        some indexes have a field of `where`. correct: only words for which every index has a
        suggestion are corrected. Raises what `Index.search` raises.
        """
        mode = require_choice("mode", mode, Mode)
        selection = Selection(
            limit=limit,
            offset=offset,
            per_file=per_file,
            stale=require_choice("stale", stale, Stale),
            sort=None if sort is None else require_choice("sort", sort, Sort),
            copies=copies,
        )
        require_count("candidates", candidates)
        require_progress(progress)
        count = len(self._indexes)
        share: dict[str, Any] = {
            "mode": mode,
            "limit": limit + offset,
            "candidates": -(-candidates // count),
            "budget": None if budget is None else budget / count,
            "answer_seconds": None if answer_seconds is None else answer_seconds / count,
            "per_file": per_file,
            "stale": Stale.drop if selection.stale is Stale.drop else Stale.warn,
            "copies": copies,
            "progress": _Stages(progress or Silent()),
        }
        answers = self._answers(query, share | options)
        if correct and (suggested := _suggestions([*answers.values()])):
            texts = [corrected(text, suggested) for text in text_list("query", query)]
            if texts != text_list("query", query):
                answers = self._answers(texts, share | options)
                return replace(fuse_indexes(answers, selection), suggestions=suggested)
        return fuse_indexes(answers, selection)

    def _answers(self, query: str | Sequence[str], options: Mapping[str, Any]) -> dict[str, Answer]:
        """What each index answers, by their paths, but for those that have no such field, or
        file. Raises InputError when none has."""
        answers: dict[str, Answer] = {}
        unknown: InputError | None = None
        for path, index in self._indexes.items():
            try:
                answers[path] = index.search(query, **options)
            except InputError as error:
                if not any(options.get(name) for name in ("where", "links_to", "linked_from")):
                    raise
                # This index has no such field or file, so nothing in it matches. If that is so of
                # all, the longest message is raised: it lists the most fields.
                unknown = max(unknown or error, error, key=lambda each: len(str(each)))
        if not answers:
            assert unknown is not None
            raise unknown
        return answers

    def bm25_terms(self, answer: Answer) -> dict[str, dict[str, float]]:
        """As `Index.bm25_terms`."""
        return {
            id: terms
            for path, part in self._parts(answer).items()
            for id, terms in self._indexes[path].bm25_terms(part).items()
        }

    def far_off(self, answer: Answer) -> str:
        """As `Index.far_off`, if it applies to the results of every index; else ""."""
        parts = self._parts(answer).items()
        answers = {self._indexes[path].far_off(part) for path, part in parts}
        return answers.pop() if len(answers) == 1 else ""

    @staticmethod
    def _parts(answer: Answer) -> dict[str, Answer]:
        """An answer split by the index of its results."""
        paths = dict.fromkeys(result.index for result in answer.results if result.index)
        return {
            path: replace(answer, results=[r for r in answer.results if r.index == path])
            for path in paths
        }


class _Stages:
    """A progress without the method draft: drafts would be of one index only."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def stage(self, name: str, total: int | None) -> None:
        """Pass it on."""
        self._progress.stage(name, total)

    def advance(self, amount: int = 1) -> None:
        """Pass it on."""
        self._progress.advance(amount)


def fuse_indexes(answers: Mapping[str, Answer], selection: Selection) -> Answer:
    """Fuse the answers of several indexes (by path) to one query; `index` of each result is set.

    Scores are compared if they are comparable between indexes: the reranker's P(yes), and cosines
    of the same model. BM25 and fused scores depend on the rest of an index, so these results are
    interleaved by rank. A chunk that is in several indexes is one result.
    """
    each_one = [
        replace(answer, results=[replace(result, index=path) for result in answer.results])
        for path, answer in answers.items()
    ]
    merged = [result for answer in each_one for result in answer.results]
    embedders = {answer.models["embed"] for answer in each_one if answer.results}
    if all(result.score_kind == "match" for result in merged):
        merged.sort(key=lambda result: (result.location, result.start_byte))
    elif each_one[0].mode == Mode.vector and len(embedders) == 1:
        merged.sort(key=lambda result: -result.score)
    else:
        merged = _by_relevance(each_one)
    merged = _distinct(merged)
    terms = list(dict.fromkeys(term for answer in each_one for term in answer.terms))
    results = ranked(merged, terms, selection)
    return replace(
        each_one[0],
        models={role: _names(a.models[role] for a in each_one) for role in each_one[0].models},
        results=results,
        timings_ms=sums(answer.timings_ms for answer in each_one),
        reranked=sum(answer.reranked for answer in each_one),
        candidates=sum(answer.candidates for answer in each_one),
        truncated=any(answer.truncated for answer in each_one),
        terms=terms,
        suggestions=_suggestions(each_one),
        synonyms=list(dict.fromkeys(line for answer in each_one for line in answer.synonyms)),
        promised=total(answer.promised for answer in each_one),
        needed=sum(answer.needed for answer in each_one),
        notices=_notices(answers, {each.index for each in results}),
        parts=_parts(each_one),
    )


def _suggestions(answers: Sequence[Answer]) -> list[Suggestion]:
    """The first answer's suggestions for words for which every answer has a suggestion."""
    words = [{each.word for each in answer.suggestions} for answer in answers]
    return [each for each in answers[0].suggestions if all(each.word in own for own in words)]


def _by_relevance(answers: Sequence[Answer]) -> list[Result]:
    """All results: first those whose score is the reranker's P(yes), by score; then the others, by
    rank."""
    with_results = [answer for answer in answers if answer.results]
    comparable = all(
        answer.reranked and all(map(_is_comparable, answer.results[: answer.reranked]))
        for answer in with_results
    )
    reranked = [r for a in with_results for r in a.results if comparable and r.scores.rerank]
    named = [result for result in reranked if result.scores.named]
    others = sorted((r for r in reranked if not r.scores.named), key=_best_first)
    top = max((result.score for result in others), default=0.0)
    head = [replace(each, score=max(each.score, top)) for each in sorted(named, key=_best_first)]
    head += others
    lowest = min((result.score for result in head), default=1.0)
    tail = [r for a in with_results for r in a.results if not (comparable and r.scores.rerank)]
    tail.sort(key=_by_rank)
    scores = [1 / (K + rank) for rank in sorted(result.rank for result in tail)]
    return head + [
        replace(each, score=min(lowest, score), score_kind="fused", calibrated=False)
        for each, score in zip(tail, scores, strict=True)
    ]


def _by_rank(result: Result) -> tuple[bool, int, float]:
    """A sort key: chunks of documents whose name is the query first, then by rank; ties by P(yes)
    if they were reranked."""
    rerank = result.scores.rerank
    return (not result.scores.named, result.rank, -rerank.p_yes if rerank else 0.0)


def _is_comparable(result: Result) -> bool:
    rerank = result.scores.rerank
    return rerank is None or rerank.score == rerank.p_yes


def _best_first(result: Result) -> float:
    return -result.score


def _distinct(results: Iterable[Result]) -> list[Result]:
    places: dict[tuple[str, int, int], Result] = {}
    for result in results:
        places.setdefault((result.location, result.start_byte, result.end_byte), result)
    return list(places.values())


def _names(models: Iterable[str | None]) -> str | None:
    """The names of the models that were used, without duplicates; None without any."""
    return ", ".join(dict.fromkeys(filter(None, models))) or None


def _parts(answers: Sequence[Answer]) -> list[tuple[str, frozenset[str]]]:
    """Answer.parts: each of several queries, with the ids of results in all indexes."""
    ids: dict[str, set[str]] = {}
    for answer in answers:
        for query, part in answer.parts:
            ids.setdefault(query, set()).update(part)
    return [(query, frozenset(part)) for query, part in ids.items()]


def _notices(answers: Mapping[str, Answer], shown: set[str | None]) -> list[str]:
    """The notices of the indexes with results, or of all if there are none. A notice that all have
    is listed once, others with the paths of their indexes. shown: the indexes with results."""
    searched = [path for path in answers if path in shown or not shown]
    lines: dict[str, list[str]] = {}
    for path in searched:
        for notice in answers[path].notices:
            lines.setdefault(notice, []).append(path)
    return [
        notice if len(paths) == len(searched) > 1 else f"{', '.join(paths)}: {notice}"
        for notice, paths in lines.items()
    ]
