"""The JSON forms of all output, for printing and for HTTP.

Nothing is printed here, so that the command line and a server give the same bytes. Each function
returns what `json` can write; `document` and `line` write it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qrank import Collected, FilePlan, Packed, PackedChunk
    from qrank.analysis.links import Links
    from qrank.chunk_text import Verdict
    from qrank.evaluation.measure import Difference
    from qrank.evaluation.report import Numbers, Scored
    from qrank.models.registry import Entry
    from qrank.reports import Check, FieldCount, IndexReport, PathStatus
    from qrank.results import Answer, Chunk, IndexedChunk, Result
    from qrank.settings import Settings
    from qrank.upkeep.speeds import Speed

SCHEMA = 1
_SCHEMAS, _SUFFIX = Path(__file__).parent / "schemas", ".schema.json"
Object = dict[str, Any]
Terms = Mapping[str, Mapping[str, float]]  # by result id, what each term adds to BM25
DIGITS = 4  # significant ones, of scores and times
RESULT_FIELDS = (  # in this order
    *("rank", "score", "score_kind", "calibrated", "id", "path", "member", "collection", "title"),
    *("heading", "start_line", "end_line", "start_byte", "end_byte", "page", "text", "fields"),
    *("ocr", "stale", "hash", "matches", "copies", "scores", "index"),
)


def schema_names() -> list[str]:
    """The names of all schemas: the words of the command that prints it, joined by hyphens."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in _SCHEMAS.glob(f"*{_SUFFIX}"))


def schema(name: str) -> str:
    """The JSON Schema of a document, as text; name: one of `schema_names`."""
    return (_SCHEMAS / f"{name}{_SUFFIX}").read_text("utf-8")


def document(value: object, *, indent: bool = False) -> str:
    """A JSON document, on one line or, for people, indented; without a newline at its end."""
    return json.dumps(value, ensure_ascii=False, indent=2) if indent else line(value)


def line(value: object) -> str:
    """JSON on one line, without its newline."""
    return json.dumps(value, ensure_ascii=False)


def answer(answer: Answer, fields: Sequence[str] = (), terms: Terms | None = None) -> Object:
    """The answer to a query; of its results only these fields, when any are named. terms: as in
    `result`."""
    value = asdict(replace(answer, results=[], suggestions=[]))
    hidden = ("terms", "parts", "promised", "needed", *([] if terms is not None else ["synonyms"]))
    for own in hidden:
        del value[own]
    value["suggestions"] = [{"word": s.word, "instead": s.instead} for s in answer.suggestions]
    value["timings_ms"] = {stage: _rounded(ms) for stage, ms in answer.timings_ms.items()}
    value["results"] = results(answer, fields, terms)
    return {"schema": SCHEMA, **value}


def results(answer: Answer, fields: Sequence[str] = (), terms: Terms | None = None) -> list[Object]:
    """The results of an answer, best first. fields, terms: as in `result`."""
    return [result(each, fields, terms) for each in answer.results]


def result(result: Result, fields: Sequence[str] = (), terms: Terms | None = None) -> Object:
    """One result, of which only these fields when any are named.

    terms: to explain it, what each term adds to its BM25 score; None: it is not explained. One
    that is has all digits of its scores, so that they add up, and what else changed its rank.
    """
    parts = asdict(result)
    parts["hash"] = result.hash
    parts["matches"] = [list(span) for span in result.matches]
    value = {name: parts[name] for name in RESULT_FIELDS}
    scores = value["scores"]
    if terms is None:
        if "scores" not in fields:
            del scores["shift"], scores["named"]
        value |= {"score": _rounded(result.score), "scores": _rounded(scores)}
    elif scores["bm25"] and result.id in terms:
        scores["bm25"]["terms"] = terms[result.id]
    if not fields and result.index is None:  # only where several were searched
        del value["index"]
    return {name: value[name] for name in fields} if fields else value


def _rounded(value: Any) -> Any:
    """Floats, also those in objects, with DIGITS significant digits.

    >>> _rounded({"rank": 12345, "score": 0.00123456}), _rounded(12345.6)
    ({'rank': 12345, 'score': 0.001235}, 12350.0)
    """
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def indexed_chunk(chunk: IndexedChunk) -> Object:
    """A chunk as the index holds it, with the hash of its text."""
    value = asdict(chunk) | {"hash": chunk.hash}
    del value["number"], value["date_ns"]
    return value


def indexed_chunks(chunks: Iterable[IndexedChunk]) -> Object:
    """Chunks as the index holds them."""
    return {"schema": SCHEMA, "chunks": [indexed_chunk(chunk) for chunk in chunks]}


def packed_chunk(chunk: PackedChunk) -> Object:
    """One of the packed chunks."""
    return _rounded(asdict(chunk))  # type: ignore[no-any-return]


def packed(packed: Packed) -> Object:
    """The chunks that fit into a number of tokens."""
    value = asdict(replace(packed, chunks=[]))
    del value["best"]
    return {"schema": SCHEMA, **value, "chunks": [packed_chunk(chunk) for chunk in packed.chunks]}


def index_report(report: IndexReport) -> Object:
    """The result of an index run."""
    names = ("added", "updated", "unchanged", "removed", "skipped", "failed")
    return {
        "schema": SCHEMA,
        "files": {name: getattr(report, name) for name in names},
        "chunks": report.chunks,
        "embedded": report.embedded,
        "errors": [asdict(error) for error in report.errors],
        "missing": report.missing,
        "seconds": report.seconds,
    }


def path_status(status: PathStatus) -> Object:
    """What became of a file or folder, as `qrank status PATH --json` prints it."""
    common: Object = {
        "schema": SCHEMA,
        "path": status.path,
        "kind": "folder" if status.is_folder else "file",
        "status": "indexed" if status.files else "skipped",
        "reason": status.reason or None,
    }
    if status.is_folder:
        return common | {
            "files": status.files,
            "chunks": status.chunks,
            "embedded": status.vectors,
            "partly": status.partly,
            "stale": status.stale,
            "skipped": [asdict(reason) for reason in status.skipped],
        }
    return common | {
        "format": status.format or None,
        "stale": bool(status.stale) if status.stale or not status.elsewhere else None,
        "indexed": [
            {
                "collection": file.collection,
                "indexed_at": file.indexed_at,
                "title": file.title,
                "chunks": file.chunks,
                "embedded": file.vectors,
                "partly": file.note or None,
            }
            for file in status.indexed
        ],
    }


def planned_chunk(plan: FilePlan, chunk: Chunk) -> Object:
    """A chunk that a file would be cut into; tokens: about how many it is."""
    value = {
        "path": plan.path,
        "member": plan.member or None,
        "title": plan.title,
        **chunk._asdict(),
    }
    return {**value, "tokens": plan.tokens(chunk)}


def file_plan(plan: FilePlan) -> Object:
    """A file with the chunks it would be cut into, or why it would be skipped."""
    return {
        "path": plan.path,
        "member": plan.member or None,
        "title": plan.title,
        "reason": plan.reason or None,
        "note": plan.note or None,
        "chunks": [{**chunk._asdict(), "tokens": plan.tokens(chunk)} for chunk in plan.chunks],
    }


def file_plans(plans: Sequence[Object]) -> Object:
    """Files with the chunks they would be cut into; plans: what `file_plan` returned."""
    return {"schema": SCHEMA, "files": plans}


def scored_text(fields: Mapping[str, Any], text: str, score: float | None) -> Object:
    """A reranked text, with the other fields that it came with; score None: it was not read."""
    return {**fields, "text": text, "score": score}


def scored_texts(query: str, texts: Sequence[Object]) -> Object:
    """Reranked texts, best first; texts: what `scored_text` returned."""
    return {"schema": SCHEMA, "query": query, "results": texts}


def embedded_text(fields: Mapping[str, Any], text: str, vector: Sequence[float]) -> Object:
    """A text with its vector, and the other fields that it came with."""
    return {**fields, "text": text, "embedding": vector}


def evaluation(
    scored: Mapping[str, Mapping[str, Scored]],
    means: Mapping[str, Numbers],
    compared: tuple[str, str] | None,
    difference: Difference | None,
) -> Object:
    """What an evaluation measured, by dataset and configuration; compared: two configurations,
    and the difference between them, when that was asked for."""
    value: Object = {
        "schema": SCHEMA,
        "datasets": {
            dataset: {config: run.numbers for config, run in runs.items()}
            for dataset, runs in scored.items()
        },
        "mean": means,
    }
    if compared and difference:
        names = dict(zip(("first", "second"), compared, strict=True))
        value["compare"] = names | asdict(difference) | {"significant": difference.significant}
    return value


def checks(checks: Sequence[Check]) -> Object:
    """What was checked; ok: nothing failed."""
    ok = all(check.status != "fail" for check in checks)
    return {"ok": ok, "checks": [asdict(check) for check in checks]}


def pulled_model(alias: str, path: Path, fetched: bool) -> Object:
    """A model's file; fetched: it was not on this machine before."""
    return {
        "alias": alias,
        "path": str(path),
        "bytes": path.stat().st_size,
        "fetched": fetched,
    }


def removed_model(alias: str, path: str) -> Object:
    """A model whose file was deleted."""
    return {"alias": alias, "path": path}


def model_speeds(entry: Entry, speeds: Sequence[Speed], best: Speed) -> Object:
    """How fast a model reads as each of its types, and which of them is recommended."""
    return {
        "alias": entry.alias,
        "kind": entry.role.value,
        "speeds": [asdict(speed) | {"path": str(speed.path)} for speed in speeds],
        "recommended": best.quantization,
    }


def fields(counts: Sequence[FieldCount]) -> Object:
    """The fields of documents, with their most frequent values."""
    return {"schema": SCHEMA, "fields": [asdict(field) for field in counts]}


def links(links_of_file: Links) -> Object:
    """The links of a document, those to it, and where it is named without one."""
    return {
        "schema": SCHEMA,
        "path": links_of_file.path,
        "out": [asdict(link) for link in links_of_file.outgoing if link.to],
        "in": [asdict(link) for link in links_of_file.incoming],
        "unresolved": [asdict(link) for link in links_of_file.outgoing if not link.to],
        "mentions": [asdict(mention) for mention in links_of_file.mentions],
    }


def settings(settings: Settings, keys: Sequence[str]) -> Object:
    """Settings by their names, with their values (null: there is none), and where each comes from:
    a file, a variable of the environment, or `default`."""
    from qrank.settings import DEFAULTS

    defaults: dict[str, str] = {"db": str(settings.index_path()), **DEFAULTS}
    return {
        "schema": SCHEMA,
        "settings": [
            {
                "key": key,
                "value": settings.values.get(key, defaults.get(key)),
                "source": settings.sources.get(key, "default"),
            }
            for key in keys
        ],
    }


def verdict(item: Mapping[str, Any], verdict: Verdict) -> Object:
    """A citation, as it was given, with what has become of it."""
    return {**item, **asdict(verdict)}


def removal(files: int, chunks: int, rules: Sequence[tuple[Path, str]] = ()) -> Object:
    """How many files were removed, the chunks that are left, and the ignore rules written."""
    value: Object = {"schema": SCHEMA, "removed": files, "chunks": chunks}
    if rules:
        value["rules"] = [{"file": str(file), "rule": rule} for file, rule in rules]
    return value


def collections(rows: Sequence[Collected]) -> Object:
    """The collections of an index."""
    return {"schema": SCHEMA, "collections": [asdict(collection) for collection in rows]}


def vacuum(before: int, after: int) -> Object:
    """The bytes of an index file before and after unused space was reclaimed."""
    return {"schema": SCHEMA, "bytes_before": before, "bytes_after": after}


def imported(documents: int, vectors: int) -> Object:
    """How much was imported."""
    return {"schema": SCHEMA, "documents": documents, "vectors": vectors}
