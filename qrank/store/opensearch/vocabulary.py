"""The vocabulary of an index in an engine: one entry per word, beside the shared state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from qrank.store.lookup import words
from qrank.store.opensearch.client import Engine
from qrank.store.opensearch.queries import among

MOST_NEAR = 500  # candidates for words at two edits
AT_ONCE = 1000  # words of one request


class Vocabulary:
    """The words of an index. Every method may raise IndexFileError."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._meta = engine, f"{engine.place.name}-meta"
        self._stored: set[bytes] = set()  # see words.new_words

    def add(self, texts: Iterable[str]) -> None:
        """Add the words of texts, outside of transactions: words without documents are harmless."""
        new = words.new_words(texts, self._stored)
        try:
            self._add(new)
        except BaseException:
            self._stored.clear()
            raise

    def _add(self, new: Sequence[str]) -> None:
        for at in range(0, len(new), AT_ONCE):
            lines: list[dict[str, Any]] = []
            for word in new[at : at + AT_ONCE]:
                lines += [{"create": {"_index": self._meta, "_id": f"word-{word}"}}, {"word": word}]
            answer = self._engine.ask("POST", "/_bulk", lines=lines)
            for item in answer["items"] if answer["errors"] else ():
                result = item["create"]
                if result["status"] not in (201, 409):  # 409: the word exists
                    raise self._engine.refused(result["status"], result.get("error"))

    def near(self, word: str, max_edits: int) -> list[tuple[int, str]]:
        """(distance, word) of the nearest words, at most max_edits (1 or 2) from word, which is in
        lower case; word itself is left out."""
        if len(word) > words.LONGEST + max_edits:
            return []
        at_one = sorted(self.intersection(words.edits(word)))
        if at_one or max_edits < 2:
            return [(1, each) for each in at_one]
        from qrank.analysis.spelling import within_two

        fuzzy = {"value": word, "fuzziness": 2, "max_expansions": MOST_NEAR}
        near = self._words({"fuzzy": {"word": fuzzy}}, MOST_NEAR)
        return [(2, each) for each in sorted(within_two(word, near))]

    def intersection(self, lowercase_words: Iterable[str]) -> set[str]:
        """Those of some words that are in the vocabulary."""
        pages = among("word", list(lowercase_words), AT_ONCE)
        return {word for page in pages for word in self._words(page, AT_ONCE)}

    def with_prefix(self, prefix: str, limit: int) -> list[str]:
        """The first limit words, in order, that start with prefix and are longer."""
        begin = {"prefix": {"word": {"value": prefix}}}
        query = {"bool": {"filter": [begin], "must_not": [{"term": {"word": prefix}}]}}
        return self._words(query, limit, sort=["word"])

    def _words(self, query: dict[str, Any], size: int, **more: Any) -> list[str]:
        body = {"size": size, "query": query, "_source": ["word"], "track_total_hits": False}
        hits = self._engine.ask("POST", f"/{self._meta}/_search", body | more)["hits"]["hits"]
        return [str(hit["_source"]["word"]) for hit in hits]
