"""Programs' output: JSON, JSONL, paths. UTF-8 without ASCII escapes, on stdout."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qrank.cli.inputs import Item
from qrank.cli.snippet import inert_name
from qrank.results import Answer, IndexReport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qrank.evaluation.measure import Difference
    from qrank.evaluation.report import Numbers, Scored

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


def answer(found: Answer) -> None:
    """A search's answer as one document."""
    document(_answer(found))


def answer_line(fields: dict[str, Any], found: Answer) -> None:
    """One query's answer of many, with the fields its line came with."""
    line(fields | _answer(found))


def results(found: Answer) -> None:
    """A search's results, one a line."""
    for result in found.results:
        line(asdict(result))


def paths(found: Answer, limit: int, end: str) -> None:
    """The first distinct paths of the results, best first."""
    for path in list(dict.fromkeys(result.path for result in found.results))[:limit]:
        sys.stdout.write((inert_name(path) if sys.stdout.isatty() else path) + end)


def _answer(found: Answer) -> dict[str, Any]:
    fields = asdict(found)
    del fields["terms"]
    return {"schema": SCHEMA, **fields}


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
