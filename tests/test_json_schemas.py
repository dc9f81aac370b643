"""`qrank schema`: the JSON output of each command is valid against its schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import ROOT, Run, complaint

Qrank = Callable[..., Run]


def strict(schema: Any) -> Any:
    """A schema that allows only the properties it names, unless it says that more may come."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "required" in schema:
        made.setdefault("additionalProperties", False)
    return made


PRINTED = {  # by schema: command lines whose --json it describes, in the folder that is made below
    "chunks": ["chunks a.md b.pdf", "index a.md --dry-run"],
    "collections": ["collections"],
    "config-list": ["config list"],
    "doctor": ["doctor --index"],
    "eval": [
        "eval q.jsonl --configs bm25",
        "eval q.jsonl --configs bm25 --compare bm25 vector",
    ],
    "fields": ["fields", "fields tags"],
    "links": ["links a.md"],
    "get": ["get a.md"],
    "import": ["import export.jsonl --db other.db"],
    "index": ["index a.md b.pdf --embed-model tiny", "index --embed-model tiny"],
    "models-bench": ["models bench tiny --role embedder"],
    "models-list": ["models list"],
    "models-pull": ["models pull tiny --role embedder"],
    "models-recommend": ["models recommend", "models pull"],
    "models-show": ["models show tiny", "models show tiny --role reranker", "models show e5-small"],
    "models-verify": ["models verify tiny"],
    "remove": ["remove c.md --ignore"],
    "rerank": ["rerank tea --candidates 1 --rerank-model tiny"],
    "search": ["search tea", "search tea --explain", "similar a.md"],
    "search-max-tokens": ["search tea --max-tokens 100"],
    "serve-status": ["serve status"],
    "status": ["status"],
    "status-path": ["status a.md", "status b.pdf", "status ."],
    "vacuum": ["vacuum"],
}
LINES = {  # the same, of lines: by schema and the definition that a line is
    ("search", "result"): ["search tea --jsonl", "similar a.md --jsonl"],
    ("search-max-tokens", "chunk"): ["search tea --max-tokens 100 --jsonl"],
    ("get", "chunk"): ["get a.md --jsonl"],
    ("chunks", "chunk"): ["chunks a.md --jsonl"],
    ("rerank", "document"): ["rerank tea --rerank-model tiny --jsonl"],
    ("embed", ""): ["embed --embed-model tiny"],
    ("export", ""): ["export -", "export - --no-vectors"],
}
ELSEWHERE = {"models-remove", "verify"}  # test_pull.py and below


@pytest.fixture
def folder(qrank: Qrank, tmp_path: Path) -> Path:
    (tmp_path / "a.md").write_text("---\ntags: [hot]\n---\n# Tea\n\nSteep green tea.\n", "utf-8")
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.4 broken")
    (tmp_path / "c.md").write_text("An owl.\n", "utf-8")
    (tmp_path / "rows.csv").write_text("tea,price\nsencha,7\n", "utf-8")
    (tmp_path / "q.jsonl").write_text('{"query": "tea", "relevant": "a.md"}\n', "utf-8")
    qrank("index", "a.md", "c.md", "rows.csv", "--embed-model", "tiny", "--db", "i.db")
    qrank("export", "export.jsonl", "--db", "i.db")
    return tmp_path


def schema_of(qrank: Qrank, name: str) -> Any:
    made = json.loads(qrank("schema", *name.split("-", name.count("models"))).stdout)
    jsonschema.Draft202012Validator.check_schema(made)
    return strict(made)


def words_of(line: str) -> list[str]:
    words = line.split()
    own_index = words[0] in ("models", "serve", "config", "rerank", "embed", "chunks")
    return words if own_index or "--db" in words else [*words, "--db", "i.db"]


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_a_schema_is_of_what_its_command_prints(qrank: Qrank, folder: Path, name: str) -> None:
    schema = schema_of(qrank, name)
    for line in PRINTED[name]:
        run = qrank(*words_of(line), "--json", stdin="tea\nan owl\n")
        jsonschema.validate(run.json(), schema)
    for wrong in ({}, [{}]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


@pytest.mark.parametrize(("name", "definition"), sorted(LINES))
def test_a_schema_is_of_the_lines_that_its_command_prints(
    qrank: Qrank, folder: Path, name: str, definition: str
) -> None:
    schema = schema_of(qrank, name)
    if definition:
        schema = {"$ref": f"#/$defs/{definition}", "$defs": schema["$defs"]}
    for line in LINES[name, definition]:
        lines = qrank(*words_of(line), stdin="tea\nan owl\n").lines()
        assert lines
        for each in lines:
            jsonschema.validate(each, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({}, schema)


def test_verified_citations_are_as_their_schema_says(qrank: Qrank, folder: Path) -> None:
    schema = schema_of(qrank, "verify")
    cited = qrank("get", "a.md", "c.md", "--jsonl", "--db", "i.db").stdout
    (folder / "a.md").write_text("Longer than before.\n\n# Tea\n\nSteep green tea.\n", "utf-8")
    (folder / "c.md").unlink()
    lines = qrank("verify", stdin=cited).lines()
    assert {line["status"] for line in lines} >= {"gone"}
    for line in lines:
        jsonschema.validate(line, schema)


def test_every_json_has_a_schema_and_the_list_says_of_what(qrank: Qrank) -> None:
    names = {line.split()[0] for line in qrank("schema").stdout.splitlines()}
    assert names == {*PRINTED, *(name for name, _ in LINES), *ELSEWHERE}
    titles = qrank("schema").stdout
    # Every command whose help names --json.
    for command in commands_with_json(qrank):
        assert f"qrank {command}" in titles or command == "similar", command
    told = complaint(qrank("schema", "serch"))
    assert told == "qrank: there is no schema 'serch'; did you mean search?"
    assert qrank("schema", "similar").stdout == qrank("schema", "search").stdout
    assert qrank("schema", "models", "list").stdout == qrank("schema", "models-list").stdout


def commands_with_json(qrank: Qrank) -> list[str]:
    pages = (ROOT / "docs" / "commands.md").read_text("utf-8").split("\n## qrank ")[1:]
    found = [page.partition("\n")[0] for page in pages if "\n  --json " in page]
    assert len(found) > 15
    return found
