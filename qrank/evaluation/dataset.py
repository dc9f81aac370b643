"""Datasets to measure quality: a collection in BEIR layout, or queries for an existing index.

BEIR layout (Thakur et al. 2021, https://github.com/beir-cellar/beir): corpus.jsonl of `_id`,
`title`, `text`; queries.jsonl of `_id`, `text`; qrels/SPLIT.tsv of query, document and grade,
tab-separated below a header line. Topics and judgements may be TREC's instead.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qrank.errors import InputError
from qrank.evaluation import trec
from qrank.indexing.records import Record

SEED = 7
QRELS = ("tsv", "qrels", "trec", "txt")  # suffixes of files of judgements


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer stands: a file, or one line of it (from 1)."""

    path: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Queries by id, and for each the grades (1 and up is relevant) of judged documents.

    corpus is the BEIR folder's corpus file; without one, documents are the files of an index,
    and places says what the names of the judged documents mean there.
    """

    name: str
    queries: Mapping[str, str]
    judgements: Mapping[str, Mapping[str, int]]
    corpus: Path | None
    places: Mapping[str, Place]

    def sample(self, limit: int | None) -> list[str]:
        """The ids of at most limit queries that have a relevant document: always the same ones."""
        judged = [
            q for q in self.queries if any(g > 0 for g in self.judgements.get(q, {}).values())
        ]
        if limit is None or limit >= len(judged):
            return judged
        chosen = set(random.Random(SEED).sample(judged, limit))
        return [query for query in judged if query in chosen]


def load(
    path: Path, split: str = "test", *, topics: Path | None = None, qrels: Path | None = None
) -> Dataset:
    """Read a BEIR folder (the judgements of split), or a file of queries for an index. topics,
    qrels: files in TREC's formats, in place of the folder's own queries and judgements.

    Raises InputError when it is neither, or has a malformed line.
    """
    if path.is_file():
        return _queries_file(path)
    if not path.is_dir():
        raise InputError(f"there is no dataset {path}", hint="name a BEIR folder or a queries file")
    own = {"corpus.jsonl": None, "queries.jsonl": topics, "qrels": qrels}
    for needed in (name for name, given in own.items() if given is None):
        if not (path / needed).exists():
            raise InputError(
                f"{path} is not a BEIR folder: {needed} is missing",
                hint="one has corpus.jsonl, queries.jsonl and qrels/*.tsv",
            )
    if topics is None:
        rows = _rows(path / "queries.jsonl")
        queries = {_text(row, "_id", at): _required(row, "text", at) for at, row in rows}
    else:
        queries = trec.topics(topics)
    judgements = _judgements(qrels or _split_file(path / "qrels", split))
    return Dataset(path.resolve().name, queries, judgements, path / "corpus.jsonl", {})


def records(corpus: Path) -> Iterator[Record]:
    """The documents of a BEIR corpus, in its order. Raises InputError for a malformed line."""
    for at, row in _rows(corpus):
        title = row.get("title") or ""
        yield Record(_text(row, "_id", at), str(title), _text(row, "text", at))


def _split_file(folder: Path, split: str) -> Path:
    """The file of a split's judgements: BEIR's, or one in TREC's format."""
    for suffix in QRELS:
        if (folder / f"{split}.{suffix}").is_file():
            return folder / f"{split}.{suffix}"
    there = {file.stem for suffix in QRELS for file in folder.glob(f"*.{suffix}")}
    raise InputError(
        f"there is no file of judgements {folder / split}.tsv",
        hint=f"--split takes one of: {', '.join(sorted(there)) or 'none'}",
    )


def _judgements(file: Path) -> dict[str, dict[str, int]]:
    if not file.is_file():
        raise InputError(f"there is no file of judgements {file}")
    judged: dict[str, dict[str, int]] = {}
    for number, line in _lines(file):
        try:
            query, document, grade = trec.judgement(line)
        except ValueError:
            if number == 1 or not line.strip():
                continue  # the header
            raise InputError(
                f"{file}:{number} is not a judgement (query, document and grade, separated by "
                "tabs; or TREC's query, iteration, document and grade)"
            ) from None
        judged.setdefault(query, {})[document] = grade
    return judged


def _queries_file(path: Path) -> Dataset:
    """JSONL of `query` and `relevant`: a path or path:line, or a list of them, as seen from the
    file's own folder."""
    queries: dict[str, str] = {}
    judgements: dict[str, dict[str, int]] = {}
    places: dict[str, Place] = {}
    for at, row in _rows(path):
        name = str(row.get("id") or at.rpartition(":")[2])
        queries[name] = _required(row, "query", at)
        relevant = row.get("relevant") or []
        names = [relevant] if isinstance(relevant, str) else relevant
        if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
            raise InputError(f'{at}: "relevant" is not a path, path:line or list of them')
        judgements[name] = dict.fromkeys(names, 1)
        places |= {item: _place(path.parent, item) for item in names}
    if not any(judgements.values()):
        raise InputError(f'{path} names no relevant file (JSONL of "query" and "relevant")')
    return Dataset(path.stem, queries, judgements, None, places)


def _place(folder: Path, name: str) -> Place:
    file, colon, line = name.rpartition(":")
    if not (colon and line.isdecimal() and len(line) < 10):
        return Place(str((folder / name).resolve()))
    return Place(str((folder / file).resolve()), int(line))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    with path.open(encoding="utf-8-sig") as lines:
        try:
            for number, line in enumerate(lines, 1):
                yield number, line
        except UnicodeDecodeError:
            raise InputError(f"{path}:{number + 1} is not UTF-8") from None


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """("file:line", object) of each line of a JSONL file."""
    for number, line in _lines(path):
        if not line.strip():
            continue
        at = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(f"{at} is not valid JSON") from None
        if not isinstance(row, dict):
            raise InputError(f"{at} is not a JSON object")
        yield at, row


def _required(row: Mapping[str, Any], key: str, at: str) -> str:
    query = _text(row, key, at)
    if not query.strip():
        raise InputError(f"{at}: the query is empty")
    return query


def _text(row: Mapping[str, Any], key: str, at: str) -> str:
    value = row.get(key)
    if not isinstance(value, str | int):
        raise InputError(f'{at} has no "{key}"')
    return str(value)
