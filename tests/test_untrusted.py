"""Untrusted indexes and exports: any content gives an answer, or one line and status 2."""

from __future__ import annotations

import copy
import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import hostile_index
import numpy as np
import pytest
from forked import forked, trouble
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Run, clean_environment, complaint

from qrank.analysis.terms import new_chunk
from qrank.chunk_text import unique_hash
from qrank.errors import IndexFileError, InputError
from qrank.indexing.transfer import Importer
from qrank.results import Chunk, Signature
from qrank.store import open_store
from qrank.store.filters import EVERYTHING, Filter
from qrank.store.interface import NewDocument, Store, StoredModel

Qrank = Callable[..., Run]
VALUES_A_COLUMN, FLIPS = 3, 60  # tests/fuzz_index.py tries as many as there is time for


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], Path]:
    """(a folder, an environment, an index)."""
    folder = tmp_path_factory.mktemp("hostile")
    environment = clean_environment(folder)
    return folder, environment, hostile_index.make(folder, environment)


def test_hostile_values_in_any_column(made: tuple[Path, dict[str, str], Path]) -> None:
    folder, environment, pristine = made
    chance = random.Random(1)
    wrong = []
    for column in hostile_index.columns(pristine):
        for name in chance.sample([*hostile_index.VALUES], VALUES_A_COLUMN):
            index = hostile_index.copied(pristine, folder / "hostile.db")
            if hostile_index.put(index, *column, hostile_index.VALUES[name]):
                words = chance.choice(hostile_index.COMMANDS)
                said = trouble(forked(folder, environment, *words, "--db", "hostile.db"))
                wrong += [(column, name, words, said)] * bool(said)
    assert wrong == []


def test_flipped_bytes_anywhere(made: tuple[Path, dict[str, str], Path]) -> None:
    folder, environment, pristine = made
    chance = random.Random(2)
    data = pristine.read_bytes()
    wrong = []
    for i in range(FLIPS):
        index = hostile_index.copied(pristine, folder / "flipped.db")
        index.write_bytes(hostile_index.flipped(data, chance))
        words = hostile_index.COMMANDS[i % len(hostile_index.COMMANDS)]
        said = trouble(forked(folder, environment, *words, "--db", "flipped.db"))
        wrong += [(i, words, said)] * bool(said)
    assert wrong == []


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER t AFTER INSERT ON loose BEGIN DELETE FROM file; END",
        "CREATE VIEW v AS SELECT 1",
        "ALTER TABLE chunk RENAME TO real; CREATE VIEW chunk AS SELECT * FROM real",
        "CREATE VIRTUAL TABLE v USING fts5(a)",
        "DROP TABLE terms; CREATE VIRTUAL TABLE terms USING fts5(body, title, collection)",
        "PRAGMA user_version = -1",
        "PRAGMA user_version = 0",
    ],
)
def test_a_schema_that_runs_something_is_refused(
    qrank: Qrank, tmp_path: Path, made: tuple[Path, dict[str, str], Path], sql: str
) -> None:
    index = hostile_index.copied(made[2], tmp_path / "index.db")
    with closing(sqlite3.connect(index)) as connection:
        connection.executescript(sql)
    before = index.read_bytes()
    for words in (["search", "water"], ["index", "."], ["export"]):
        said = complaint(qrank(*words, "--db", "index.db"))
        assert "things that no qrank index has" in said
    assert index.read_bytes() == before


def test_a_value_of_gigabytes_is_not_read(
    qrank: Qrank, tmp_path: Path, made: tuple[Path, dict[str, str], Path]
) -> None:
    index = hostile_index.copied(made[2], tmp_path / "index.db")
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("UPDATE file SET title = CAST(zeroblob(200 << 20) AS TEXT)")
        connection.commit()
    for words in (["search", "water", "--mode", "bm25"], ["export"]):
        assert "damaged" in qrank(*words, "--db", "index.db").stderr


def segments(path: Path) -> tuple[Store, StoredModel]:
    """A store with vectors with 8 dimensions for 70 unique texts, of which there are 71."""
    store = open_store(path, write=True)
    chunks = [
        new_chunk(Chunk(f"t{i}", "", i, i + 1, 1, 1), f"t{i}", "", unique_hash("", "", f"t{i}"))
        for i in range(71)
    ]
    with store.transaction():
        store.add_document(
            NewDocument(
                collection="c",
                path="/a",
                signature=Signature(1, 1),
                content_hash=bytes(16),
                title="",
                extractor="",
                chunks=chunks,
            )
        )
        model = store.add_model(StoredModel(0, "m", "s", 8, 1))
        unit_vectors = np.eye(8, dtype=np.float32)[np.arange(70) % 8]
        store.add_vectors(model.id, list(range(1, 71)), unit_vectors)
    return store, model


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE segment SET used = 3",
        "UPDATE segment SET used = 128, passages = CAST(replace(hex(zeroblob(512)), '00', 'a') "
        "AS BLOB)",
        "UPDATE segment SET passages = substr(passages, 1, 99)",
        "UPDATE segment SET scales = x''",
        "UPDATE code SET codes = x'00'",
        "UPDATE code SET codes = 1.5",
        "DELETE FROM code",
        "UPDATE vector SET slot = 5000",
        "UPDATE vector SET slot = -1",
        "UPDATE vector SET segment_id = 'x'",
        "UPDATE model SET dims = 0",
        "UPDATE model SET dims = 1 << 40",
        "UPDATE model SET dims = 7",
    ],
)
def test_segments_that_lie_are_damage_and_no_hang(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "index.db"
    store, model = segments(path)
    with store, closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()
        assert any(check.status == "fail" for check in store.check())
        vector = np.eye(8, dtype=np.float32)[:1]

        def add() -> None:
            with store.transaction():
                store.add_vectors(model.id, [71], vector)

        def remove() -> None:
            with store.transaction():
                store.remove_documents([1])
                store.remove_orphans()

        uses: list[Callable[[], object]] = [
            lambda: store.nearest(model.id, vector[0], 3, EVERYTHING),
            lambda: store.vectors(model.id, [1, 70]),
            store.models,
            add,
            store.vacuum,
            remove,
        ]
        refused = 0
        for use in uses:
            try:
                use()
            except IndexFileError as error:
                assert "damaged" in str(error) or "can't be read" in str(error)  # noqa: PT017
                refused += 1
        assert refused


# Exports

HOSTILE: tuple[Any, ...] = (
    None, True, 0, -1, 2**70, 0.5, 1e300, "", "x", "\x00", "\ud800", "a\nb", "00" * 15, "zz" * 16,
    [], {}, [1], {"a": 1}, "x" * (2 << 20), float("nan"),
)  # fmt: skip
MODEL = {"name": "m", "sha256": "s", "dims": 2, "prompt_version": 1}
DOCUMENT = {
    "path": "/a", "collection": "c", "title": "T", "size": 1, "mtime_ns": 1, "hash": "00" * 16,
    "extractor": "1", "language": "english", "fields": {"tags": ["x"]},
}  # fmt: skip
PASSAGE = {
    "text": "text", "heading": "T > H", "start_byte": 0, "end_byte": 4, "start_line": 1,
    "end_line": 1, "page": None, "terms": {"body": "text", "title": "t h"},
    "passage": unique_hash("T", "T > H", "text").hex(), "vectors": {"s": [0.6, 0.8]},
}  # fmt: skip


def export() -> list[dict[str, Any]]:
    first = {"qrank": 1, "models": [MODEL]}
    lines = [first, DOCUMENT, PASSAGE, DOCUMENT | {"path": "/b"}, PASSAGE, {"end": 2}]
    return [copy.deepcopy(line) for line in lines]  # one by one: they share what is in them


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*at, key)
            yield from places(inner, (*at, key))


def taken(folder: Path, lines: list[str]) -> tuple[str, Store]:
    """(what is said of an export, the index it went into, which is sound)."""
    path = folder / "import.db"
    path.unlink(missing_ok=True)
    store = open_store(path, write=True)
    said = ""
    try:
        Importer(store).read(lines, "FILE")
    except InputError as error:
        said = str(error)
        assert "of FILE is not a valid line of an export: " in said
        assert len(said) < 1000
    assert [check for check in store.check() if check.status == "fail"] == []
    return said, store


def test_hostile_values_anywhere_in_an_export(tmp_path: Path) -> None:
    assert taken(tmp_path, [*map(json.dumps, export())])[0] == ""
    refused = 0
    chance = random.Random(3)
    for line, item in enumerate(export()):
        for at in places(item):
            for value in chance.sample(HOSTILE, 8):
                changed = export()
                holder = changed[line]
                for key in at[:-1]:
                    holder = holder[key]
                if holder[at[-1]] == value and type(holder[at[-1]]) is type(value):
                    continue
                holder[at[-1]] = value
                said, store = taken(tmp_path, [*map(json.dumps, changed)])
                with store:
                    if said:
                        refused += 1
                        # What only a later line shows to be wrong is said there.
                        number = int(said.split(" of FILE")[0].removeprefix("line "))
                        assert number > line, (at, value, said)
                    [*store.documents(EVERYTHING)]
    assert refused > 200


@pytest.mark.parametrize(
    ("number", "change", "reason"),
    [
        (1, {"models": [MODEL | {"dims": 0}]}, "dims"),
        (1, {"models": [MODEL | {"dims": 1 << 20}]}, "dims"),
        (1, {"models": [MODEL, MODEL]}, "twice"),
        (1, {"models": [MODEL | {"id": 3}]}, "fields"),
        (3, {"end_byte": -1}, "end_byte"),
        (3, {"start_line": 2}, "end_line"),
        (3, {"passage": "00" * 16}, "not the hash"),
        (3, {"text": "another text"}, "not the hash"),
        (3, {"vectors": {"s": [0.6, 0.7]}}, "length 0.92"),
        (3, {"vectors": {"s": [1e200, 0]}}, "length 1"),
        (3, {"vectors": {"s": ["0.6", 0.8]}}, "numbers"),
        (3, {"vectors": {"s": [True, 0]}}, "numbers"),
        (3, {"vectors": {"t": [0.6, 0.8]}}, "not in the first line"),
        (3, {"terms": {"body": "text", "title": "t\nlenglish"}}, "control"),
        (2, {"path": "/a\x00b"}, "path"),
        (2, {"fields": {"a": float("inf")}}, "Infinity"),
        (2, {"fields": json.loads('{"a":' * 200 + "1" + "}" * 200)}, "fields"),
        (6, {"end": 3}, "3 documents announced, 2 read"),
    ],
)
def test_what_an_export_may_not_say(
    tmp_path: Path, number: int, change: dict[str, Any], reason: str
) -> None:
    lines = export()
    lines[number - 1] |= change
    said, store = taken(tmp_path, [*map(json.dumps, lines)])
    with store:
        assert f"line {number} of" in said
        assert reason in said
        # What came before it is whole.
        assert len([*store.documents(EVERYTHING)]) == {1: 0, 2: 0, 3: 0, 6: 2}[number]


def test_lines_that_are_too_long_or_too_deep(qrank: Qrank, tmp_path: Path) -> None:
    first = [json.dumps(line) for line in export()[:3]]
    with (tmp_path / "long.jsonl").open("w") as file:
        file.writelines(f"{line}\n" for line in first)
        for _ in range(40):
            file.write("x" * (1 << 20))
    said = complaint(qrank("import", "long.jsonl", "--db", "i.db"))
    assert "line 4 of long.jsonl" in said
    assert "MiB" in said
    (tmp_path / "deep.jsonl").write_text("\n".join([*first, "[" * 10**6]))
    assert "line 4 of deep.jsonl" in complaint(qrank("import", "deep.jsonl", "--db", "i.db"))


def test_an_import_never_replaces_a_vector(tmp_path: Path) -> None:
    with open_store(tmp_path / "i.db", write=True) as store:
        Importer(store).read(map(json.dumps, export()))
        [model] = store.models()
        [text_id] = store.text_ids([bytes.fromhex(str(PASSAGE["passage"]))]).values()
        before = store.vectors(model.id, [text_id])[1].tolist()
        lines = export()
        lines[2]["vectors"] = lines[4]["vectors"] = {"s": [-0.6, -0.8]}
        lines[1]["collection"] = "another"
        Importer(store).read(map(json.dumps, lines))
        assert store.vectors(model.id, [text_id])[1].tolist() == before


def test_terms_can_not_move_a_document_into_a_collection(tmp_path: Path) -> None:
    from qrank.store.lexical import labels

    lines = export()
    label = labels("secret", "french")
    lines[2]["terms"] = {"body": f'text {label} collection : "{label}"', "title": label}
    said, store = taken(tmp_path, [*map(json.dumps, lines)])
    with store:
        assert said == ""
        inside = store.bm25(["text"], 9, Filter(("secret",)))
        assert inside == []
        assert store.languages() == ["english"]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_bytes_for_an_export(data: st.DataObject, tmp_path_factory: Any) -> None:
    lines = [json.dumps(line) for line in export()]
    for _ in range(data.draw(st.integers(1, 3))):
        line = data.draw(st.integers(0, len(lines) - 1))
        at = data.draw(st.integers(0, max(0, len(lines[line]) - 1)))
        junk = data.draw(
            st.text(max_size=8) | st.sampled_from(["1e999", "-", '"', "{}", "[[", "9"])
        )
        lines[line] = lines[line][:at] + junk + lines[line][at + len(junk) :]
    _, store = taken(tmp_path_factory.getbasetemp(), lines)
    with store:
        list(islice(store.documents(EVERYTHING), 5))
