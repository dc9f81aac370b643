"""Programs' output: JSON, JSONL, paths. UTF-8 without ASCII escapes, on stdout."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qrank.cli.input.records import Item
from qrank.cli.output.escape import escape_line, escape_passage
from qrank.names import disk_bytes
from qrank.results import Answer, Chunk, IndexedChunk, IndexReport, Packed, Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qrank.evaluation.measure import Difference
    from qrank.evaluation.report import Numbers, Scored
    from qrank.indexing.plan import FilePlan

SCHEMA = 1
_OBEYED = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def document(value: object) -> None:
    """One JSON document, indented."""
    _write(json.dumps(value, ensure_ascii=False, indent=2))


def line(value: object) -> None:
    """One JSON object on a line of its own, at once."""
    _write(as_json(value))
    sys.stdout.flush()


def as_json(value: object) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


def _write(text: str) -> None:
    if sys.stdout.isatty():  # what JSON leaves as it is, but a terminal may obey
        text = _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    # Surrogates can come from JSON input ("\ud800"); UTF-8 has no bytes for them.
    data = text.encode("utf-8", "replace") + b"\n"
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


Terms = Mapping[str, Mapping[str, float]]  # by result id, what each term adds to BM25


def answer(found: Answer, names: Sequence[str] = (), terms: Terms = {}) -> dict[str, Any]:  # noqa: B006
    """A search's answer as JSON has it; of its results only the fields named, when any are."""
    fields = asdict(found)
    del fields["terms"], fields["parts"]
    fields["results"] = [_result(result, names, terms) for result in found.results]
    return {"schema": SCHEMA, **fields}


def results(found: Answer, names: Sequence[str], terms: Terms) -> None:
    """A search's results, one a line."""
    for result in found.results:
        line(_result(result, names, terms))


def _result(result: Result, names: Sequence[str], terms: Terms) -> dict[str, Any]:
    fields = asdict(result)
    if terms and fields["scores"]["bm25"]:
        fields["scores"]["bm25"]["terms"] = terms[result.id]
    return {name: fields[name] for name in names} if names else fields


def text(value: str, end: str) -> None:
    """A value as it is, on a terminal inert."""
    shown = escape_line(value) if sys.stdout.isatty() else value
    sys.stdout.flush()
    sys.stdout.buffer.write((shown + end).encode("utf-8", "replace"))


def path(value: str, end: str) -> None:
    """A path, on a terminal inert, for other programs the bytes it has on disk."""
    if sys.stdout.isatty():
        text(value, end)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(disk_bytes(value) + end.encode())


def passages(found: Sequence[IndexedChunk], *, lines: bool) -> None:
    """Passages by themselves, one a line or as one document."""
    if lines:
        for passage in found:
            line(asdict(passage))
    else:
        document({"schema": SCHEMA, "passages": [asdict(passage) for passage in found]})


def packed(found: Packed) -> None:
    """The packed passages as one document."""
    document({"schema": SCHEMA, **asdict(found)})


def packed_lines(found: Packed) -> None:
    """The packed passages, one a line."""
    for passage in found.passages:
        line(asdict(passage))


def packed_text(found: Packed) -> None:
    """The packed passages as text, each under a line that says where it is from."""
    for passage in found.passages:
        place = f"{passage.path}:{passage.start_line}-{passage.end_line}"
        text(f"[{place}] {passage.heading}".rstrip(), "\n")
        body = escape_passage(passage.text) if sys.stdout.isatty() else passage.text
        sys.stdout.buffer.write(f"{body}\n\n".encode("utf-8", "replace"))


def index_report(report: IndexReport) -> None:
    """What an index run did."""
    names = ("added", "updated", "unchanged", "removed", "skipped", "failed")
    document(
        {
            "schema": SCHEMA,
            "files": {name: getattr(report, name) for name in names},
            "chunks": report.chunks,
            "embedded": report.embedded,
            "errors": [asdict(problem) for problem in report.problems],
            "seconds": report.seconds,
        }
    )


def chunk(plan: FilePlan, made: Chunk) -> dict[str, Any]:
    """A passage that a file would be cut into; tokens: about how many it is."""
    fields = {"path": plan.path, "title": plan.title, **made._asdict()}
    return {**fields, "tokens": plan.tokens(made)}


def file_plan(plan: FilePlan) -> dict[str, Any]:
    """A file with the passages it would be cut into, or why it would be left out."""
    made = [{**piece._asdict(), "tokens": plan.tokens(piece)} for piece in plan.chunks]
    return {
        "path": plan.path,
        "title": plan.title,
        "reason": plan.reason or None,
        "note": plan.note or None,
        "chunks": made,
    }


def ranked_document(query: str, ranked: Sequence[tuple[Item, float]]) -> None:
    """Reranked texts as one document."""
    document({"schema": SCHEMA, "query": query, "results": [_scored(*pair) for pair in ranked]})


def ranked_lines(ranked: Sequence[tuple[Item, float]]) -> None:
    """Reranked texts, one a line."""
    for item, score in ranked:
        line(_scored(item, score))


def _scored(item: Item, score: float) -> dict[str, Any]:
    return {**item.fields, "text": item.text, "score": score}


def embeddings(items: Sequence[Item], vectors: NDArray[np.float32]) -> None:
    """Texts with their vectors, one a line, other fields kept."""
    for item, vector in zip(items, vectors.astype(float).round(7).tolist(), strict=True):
        line({**item.fields, "text": item.text, "embedding": vector})


def evaluation(
    scored: Mapping[str, Mapping[str, Scored]],
    means: Mapping[str, Numbers],
    compared: tuple[str, str] | None,
    difference: Difference | None,
) -> None:
    """What an evaluation measured."""
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "datasets": {
            dataset: {config: run.numbers for config, run in runs.items()}
            for dataset, runs in scored.items()
        },
        "mean": means,
    }
    if compared and difference:
        names = dict(zip(("first", "second"), compared, strict=True))
        fields["compare"] = names | asdict(difference) | {"significant": difference.significant}
    document(fields)
