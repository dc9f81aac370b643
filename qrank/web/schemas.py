"""JSON Schemas of requests: they are used to check requests, and for the OpenAPI document."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from qrank import __version__, json_form
from qrank.results import Mode, Sort, Stale
from qrank.web.problems import ProblemError

Schema = dict[str, Any]
MOST_TEXTS = 2048
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
# An alias, maybe with a quantization; no path or URL, which a web page must not be able to use.
_ALIAS = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*(:[A-Za-z0-9_]+)?$"
_ABSOLUTE = r"^(/|[A-Za-z]:[/\\])"


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, "maxLength": 100_000, **more}


def _texts(description: str) -> Schema:
    one: Schema = {"type": "string", "maxLength": 1000}
    return {
        "anyOf": [one, {"type": "array", "items": one, "maxItems": 100}],
        "description": description,
    }


def _date(description: str) -> Schema:
    """A date as `--since` takes it: 2026-01-31, 2026-01, 2026-01-31T12:00, yesterday, 2w."""
    return {"type": "string", "description": description, "maxLength": 100}


def _count(description: str, most: int = 1000) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most, "description": description}


def _switch(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def _choice(description: str, *choices: str) -> Schema:
    return {"type": "string", "enum": list(choices), "description": description}


def _object(required: list[str], **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


DB = _text(
    "the index: the absolute path of an index file of this user; default: the server's",
    pattern=_ABSOLUTE,
) | {"maxLength": 4096}  # it may be in a URL
MODEL = _text("an alias, as `qrank models list` has it; default: auto", pattern=_ALIAS)
_FILTERS: dict[str, Schema] = {
    "collection": _texts("only this collection, or these"),
    "path": _texts("only this file or folder, or files whose path matches a glob; or several"),
    "per_file": _count("at most so many results of one file"),
    "min_score": {"type": "number", "description": "results below are skipped"},
    "stale": _choice("how to treat results whose file has changed since indexing", *Stale),
    "db": DB,
}
_QUERY: Schema = {
    "anyOf": [
        {"type": "string", "maxLength": 100_000},
        {
            "type": "array",
            "items": {"type": "string", "maxLength": 100_000},
            "minItems": 1,
            "maxItems": 20,
        },
    ],
    "description": "what to look for; several queries are fused",
}
SEARCH = _object(
    ["query"],
    query=_QUERY,
    mode=_choice("how candidates are found; default: hybrid", *Mode),
    rerank=_switch("whether to rerank; default: when hybrid"),
    limit=_count("at most so many results; default: 10"),
    candidates=_count("how many to rerank; default: 30"),
    budget={"type": "number", "minimum": 0, "description": "seconds after which reranking stops"},
    offset={"type": "integer", "minimum": 0, "maximum": 1000, "description": "skip so many"},
    sort=_choice("the order of the results", *Sort),
    where=_texts("conditions on fields, as `qrank search --where` has them"),
    type=_texts("only files of this type, or these: pdf, markdown, md"),
    links_to=_text("only documents that link to this indexed file", pattern=_ABSOLUTE),
    linked_from=_text("only documents that this indexed file links to", pattern=_ABSOLUTE),
    regex=_texts("only chunks whose text matches this regular expression (RE2), or all of these"),
    literal=_texts("only chunks whose text holds this as it is written, or all of these"),
    copies=_switch("whether near-duplicates are results of their own"),
    since=_date("only documents from this date or later: their own date, else the modification"),
    until=_date("only documents from this date (all of that day, month or year) or earlier"),
    explain=_switch("whether results have the contribution of each term to their score"),
    unfinished=_switch("whether the last word is still being typed"),
    embed_model=MODEL,
    rerank_model=MODEL,
    **_FILTERS,
)
SIMILAR = _object(
    ["place"],
    place=_text("PATH or PATH:LINE, absolute, of an indexed file", pattern=_ABSOLUTE),
    mode=_choice("compare vectors, or words; default: vector", "vector", "bm25"),
    limit=_count("at most so many results; default: 10"),
    **_FILTERS,
)
GET = _object(
    [],
    ids={
        "type": "array",
        "items": {"type": "string", "maxLength": 100},
        "minItems": 1,
        "maxItems": 1000,
        "description": "ids of chunks",
    },
    path=_text("or an indexed file, by its absolute path", pattern=_ABSOLUTE),
    from_line=_count("with path: only chunks that end in this line or later", 10**9),
    to_line=_count("with path: only chunks that begin in this line or earlier", 10**9),
    db=DB,
)
EMBEDDINGS = _object(
    ["input"],
    input={
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_TEXTS},
        ],
        "description": "a text, or several",
    },
    model=MODEL,
    dimensions=_count("keep so many dimensions (Matryoshka)", 1 << 16),
    encoding_format=_choice("how vectors are written; default: float", "float", "base64"),
    input_type=_choice("which prompt of the model is used; default: document", "document", "query"),
    user=_text("not used"),
)
RERANK = _object(
    ["query", "documents"],
    query=_text("what the documents are scored against"),
    documents={
        "type": "array",
        "items": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {"text": {"type": "string"}},
                    "required": ["text"],
                },
            ]
        },
        "maxItems": MOST_TEXTS,
        "description": "texts, or objects with a text",
    },
    model=MODEL,
    top_n=_count("at most so many results", 10**6),
    return_documents=_switch("whether results contain their text"),
    instruction=_text("the instruction, for a model that takes one"),
)


def check(value: Any, schema: Schema, name: str = "the body") -> None:
    """Raise ProblemError (400) for a value that does not match a schema. Only the keywords used in
    this module are supported.

    >>> check({"query": "tea", "limit": 3}, SEARCH)
    """
    if "anyOf" in schema:
        _check_any(value, schema["anyOf"], name)
        return
    kind = schema["type"]
    wrong_bool = isinstance(value, bool) and kind != "boolean"
    if wrong_bool or not isinstance(value, _TYPES[kind]):
        raise ProblemError(400, f"{name} must be of type {kind}")
    if isinstance(value, dict):
        _check_object(value, schema, name)
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema["maxItems"]:
            raise ProblemError(400, f"{name} must have at most {schema['maxItems']} items")
        for item in value:
            check(item, schema["items"], f"an item of {name}")
    elif isinstance(value, str):
        _check_text(value, schema, name)
    else:
        least, most = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        if isinstance(value, int | float) and not least <= value <= most:  # NaN is not
            raise ProblemError(400, f"{name} must be a number from {least} to {most}")


def _check_any(value: Any, choices: list[Schema], name: str) -> None:
    first: ProblemError | None = None
    for choice in choices:
        try:
            check(value, choice, name)
        except ProblemError as error:
            first = first or error
        else:
            return
    assert first
    raise first


def _check_object(value: dict[str, Any], schema: Schema, name: str) -> None:
    properties = schema["properties"]
    for key in schema["required"]:
        if key not in value:
            raise ProblemError(400, f"{name} has no {key!r}")
    for key, inner in value.items():
        if key in properties:
            check(inner, properties[key], key)
        elif not schema.get("additionalProperties", True):
            names = ", ".join(sorted(properties))
            raise ProblemError(400, f"there is no field {key[:100]!r}; use {names}")


def _check_text(value: str, schema: Schema, name: str) -> None:
    if len(value) > schema.get("maxLength", math.inf):
        raise ProblemError(400, f"{name} is longer than {schema['maxLength']} characters")
    if "enum" in schema and value not in schema["enum"]:
        raise ProblemError(400, f"{name} must be one of {', '.join(schema['enum'])}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        raise ProblemError(400, f"{name} must match {schema['pattern']}")
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can contain
        raise ProblemError(400, f"{name} is not valid Unicode") from None


# The OpenAPI page

_PROBLEM: Schema = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong, and what to do"},
    },
}
_TOKENS: Schema = {"type": "integer", "minimum": 0}
_USAGE: Schema = {
    "type": "object",
    "required": ["prompt_tokens", "total_tokens"],
    "properties": {"prompt_tokens": _TOKENS, "total_tokens": _TOKENS},
    "description": "tokens that the model read, its prompt included; 0 when another server runs "
    "the model",
}
_EMBEDDED: Schema = {
    "type": "object",
    "required": ["object", "data", "model", "usage"],
    "properties": {
        "object": {"const": "list"},
        "model": {"type": "string"},
        "usage": _USAGE,
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["object", "index", "embedding"],
                "properties": {
                    "object": {"const": "embedding"},
                    "index": {"type": "integer", "minimum": 0},
                    "embedding": {
                        "anyOf": [
                            {"type": "array", "items": {"type": "number"}},
                            {"type": "string"},
                        ]
                    },
                },
            },
        },
    },
}
_RERANKED: Schema = {
    "type": "object",
    "required": ["model", "results", "usage"],
    "properties": {
        "model": {"type": "string"},
        "usage": _USAGE,
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "relevance_score"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "relevance_score": {"type": "number", "minimum": 0, "maximum": 1},
                    "document": {"type": "object"},
                },
            },
        },
    },
}
_CHUNKS: Schema = {
    "type": "object",
    "required": ["schema", "chunks"],
    "properties": {
        "schema": {"const": json_form.SCHEMA},
        "chunks": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "path", "start_line", "end_line", "page", "text", "stale"],
            },
        },
    },
}
_STATUS: Schema = {
    "type": "object",
    "required": ["db", "schema", "files", "chunks", "bytes", "collections", "models"],
}
_HEALTH: Schema = {"type": "object", "required": ["ok"], "properties": {"ok": {"const": True}}}


def openapi() -> dict[str, Any]:
    """The OpenAPI document."""
    text = json_form.schema("search")
    search = json.loads(text.replace("#/$defs/", "#/components/schemas/"))
    definitions = search.pop("$defs")
    for name in ("$schema", "$id"):
        search.pop(name, None)
    return {
        "openapi": "3.1.0",
        "info": {"title": "qrank", "version": __version__},
        "security": [{"token": []}],
        "paths": {
            "/healthz": {
                "get": {**_operation("whether it responds", _HEALTH, _ALWAYS), "security": []}
            },
            "/v1/search": _post("search", SEARCH, {"$ref": "#/components/schemas/search"}),
            "/v1/similar": _post(
                "chunks similar to a place", SIMILAR, {"$ref": "#/components/schemas/search"}
            ),
            "/v1/get": _post("chunks by id, or of a file", GET, _CHUNKS),
            "/v1/embeddings": _post("embed texts (OpenAI's API)", EMBEDDINGS, _EMBEDDED),
            "/v1/rerank": _post("score texts (Jina's API)", RERANK, _RERANKED),
            "/v1/status": {
                "get": {
                    **_operation("what is in the index", _STATUS, _ALWAYS | _TOKEN | _INDEX),
                    "parameters": [{"name": "db", "in": "query", "schema": DB}],
                }
            },
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"search": search, "problem": _PROBLEM, **definitions},
        },
    }


# The errors of operations, by status.
_ALWAYS = {
    403: "the request is from another origin, or the index belongs to another user",
    405: "the method is not allowed",
    421: "the Host header does not name this server",
    500: "an error in the server; its log says more",
    503: "a model can't be used now, or the answer took too long",
}
_TOKEN = {401: "the token is missing or wrong"}
_INDEX = {400: "the request is not valid", 404: "there is no such index, model, file or chunk"}
_BODY = {
    408: "the body did not come in time",
    413: "the body is too large",
    415: "the body is not JSON",
}


def _operation(summary: str, answer: Schema, statuses: dict[int, str]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}}}
    return {
        "summary": summary,
        "responses": {
            "200": {
                "description": "the answer",
                "content": {"application/json": {"schema": answer}},
            },
            **{
                str(status): {"description": statuses[status], "content": content}
                for status in sorted(statuses)
            },
        },
    }


def _post(summary: str, body: Schema, answer: Schema) -> dict[str, Any]:
    request = {"required": True, "content": {"application/json": {"schema": body}}}
    statuses = _ALWAYS | _TOKEN | _INDEX | _BODY
    return {"post": {**_operation(summary, answer, statuses), "requestBody": request}}
