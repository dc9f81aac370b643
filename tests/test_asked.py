"""Interpretation of queries (typos, unknown words, the user's synonyms) and presentation of
answers (near duplicates, the time limit)."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import COMMAND, Run, complaint, write_files

from qrank import Index
from qrank.analysis.spelling import within_two
from qrank.store import open_store

Qrank = Callable[..., Run]
STEEP = (
    "Steep green tea for two minutes in water of eighty degrees, and you receive a cup that is "
    "neither bitter nor weak; longer steeping brings out more tannins than most people like."
)
FILES = {
    "v1/tea.md": f"# Green tea\n\n{STEEP}\n",
    "v2/tea.md": f"# Green tea\n\n{STEEP.replace('two minutes', 'three minutes')}\n",
    "copy.md": f"# Green tea\n\n{STEEP}\n",
    "cluster.md": "# Cluster\n\nDeploy kubernetes with helm over a slow connection.\n",
    "learn.md": "# Notes\n\nMachine learning needs data.\n",
    "short.txt": "Machine for learning by heart.\n",
    "russian.md": "# Чай\n\nЗаваривайте зелёный чай две минуты.\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("asked")
    write_files(made, FILES)
    with Index(made / "i.db") as index:
        index.add(made, embed=False)
    return made


@pytest.fixture
def index(folder: Path) -> Iterator[Index]:
    with Index(folder / "i.db") as opened:
        yield opened
    (folder / "synonyms.txt").unlink(missing_ok=True)


def names(answer: object) -> list[str]:
    return [Path(result.path).name for result in answer]  # type: ignore[attr-defined]


def on_a_terminal(environment: dict[str, str], *args: object) -> str:
    """What the command prints on a terminal, stdout and stderr."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [COMMAND, *map(str, args)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:
                break
            if not part:
                break
            said += part
        process.wait()
    os.close(ours)
    return " ".join(said.decode().split())


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("recieve", "receive"),
        ("conection", "connection"),
        ("kuberentes", "kubernetes"),
        ("steepnig", "steeping"),
        ("seperately", None),
        ("dgerees", "degrees"),
        ("зелюный", "зелёный"),
        ("helmm", "helm"),
        ("tea", None),  # some document has it
        ("xqzzyflurb", None),
        ("teh", None),  # too short to tell
    ],
)
def test_the_nearest_word_is_suggested(index: Index, typed: str, meant: str | None) -> None:
    answer = index.search(typed, mode="bm25")
    assert [each.instead for each in answer.suggestions] == ([meant] if meant else [])
    if meant:
        assert names(answer) == []  # nothing but the suggestion is new
        corrected = index.search(typed, mode="bm25", correct=True)
        assert corrected.query == meant
        assert names(corrected) == names(index.search(meant, mode="bm25"))


def test_the_more_frequent_of_two_words_is_suggested(tmp_path: Path) -> None:
    for name, text in {"a": "The tram.", "b": "A trap here.", "c": "No trap there."}.items():
        (tmp_path / f"{name}.txt").write_text(text, "utf-8")
    with Index(tmp_path / "i.db") as index:
        index.add(tmp_path, embed=False)
        assert [each.instead for each in index.search("trax", mode="bm25").suggestions] == ["trap"]
        (tmp_path / "b.txt").unlink()
        (tmp_path / "c.txt").unlink()
        index.add(tmp_path, embed=False)  # no document has the word any more
        assert [each.instead for each in index.search("trax", mode="bm25").suggestions] == ["tram"]


def test_suggestions_are_shown_on_a_terminal_and_else_only_in_json(
    qrank: Qrank, environment: dict[str, str], folder: Path
) -> None:
    db = folder / "i.db"
    piped = qrank("search", "recieve", "--db", db)
    assert (piped.returncode, piped.stdout) == (1, "")
    found = qrank("search", "recieve", "--db", db, "--json")
    assert (found.returncode, found.json()["results"]) == (1, [])
    assert found.json()["suggestions"] == [{"word": "recieve", "instead": "receive"}]
    shown = on_a_terminal(environment, "search", "recieve", "--mode", "bm25", "--db", db)
    assert "showing results for 'receive'; --exact for only 'recieve'" in shown
    assert "tea.md" in shown
    exact = on_a_terminal(environment, "search", "recieve", "--mode", "bm25", "--exact", "--db", db)
    assert "tea.md" not in exact
    assert "showing results" not in exact


def test_a_correction_leaves_excluded_words_alone(index: Index) -> None:
    answer = index.search('"recieve a cup" -conection', mode="bm25", correct=True)
    assert answer.query == '"receive a cup" -conection'
    assert len(answer) == 1


def test_the_vocabulary_of_an_interrupted_transaction_is_not_taken_for_written(
    tmp_path: Path,
) -> None:
    from qrank.results import Signature
    from qrank.store.interface import NewDocument

    document = NewDocument("c", "/a/wonderful.md", Signature(1, 1), b"h", "Title", "x", [])
    with open_store(tmp_path / "i.db", write=True) as store:
        with pytest.raises(RuntimeError), store.transaction():
            store.add_document(document)
            raise RuntimeError
        assert store.vocabulary.near("wonderfull", 2) == []
        with store.transaction():
            store.add_document(document)
        assert store.vocabulary.near("wonderfull", 2) == [(1, "wonderful")]


def edit_distance(one: str, other: str) -> int:
    """By the definition: insert, delete, replace, or swap two neighbours."""
    rows = [[i + j if not i * j else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            rows[i][j] = min(
                rows[i - 1][j] + 1,
                rows[i][j - 1] + 1,
                rows[i - 1][j - 1] + (one[i - 1] != other[j - 1]),
            )
            if i > 1 and j > 1 and one[i - 2 : i] == other[j - 2 : j][::-1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


WORDS = st.text("abcé", min_size=1, max_size=8)


@given(WORDS, st.lists(WORDS, max_size=30, unique=True))
def test_distances_of_many_words_are_those_of_each(word: str, others: list[str]) -> None:
    expected = {other for other in others if edit_distance(word, other) <= 2}
    assert set(within_two(word, others)) == expected


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("k8s", ["cluster.md"]),
        ("K8S", ["cluster.md"]),
        ("ML", ["learn.md"]),  # the words together: short.txt has them apart
        ("kubernetes", ["cluster.md"]),
        ("mll", []),
    ],
)
def test_synonyms_widen_a_query(index: Index, folder: Path, query: str, found: list[str]) -> None:
    (folder / "synonyms.txt").write_text(
        "# ours\n\nk8s = kubernetes\nML = machine learning = statistics  # and so on\n", "utf-8"
    )
    assert names(index.search(query, mode="bm25")) == found


def test_explain_says_which_synonyms_were_searched_for(qrank: Qrank, folder: Path) -> None:
    db, file = folder / "i.db", folder / "synonyms.txt"
    file.write_text("k8s = kubernetes\n", "utf-8")
    try:
        shown = qrank("search", "k8s", "--db", db, "--mode", "bm25", "--explain")
        assert "also    k8s = kubernetes" in shown.stdout
        found = qrank("search", "k8s", "--db", db, "--mode", "bm25", "--explain", "--json").json()
        assert found["synonyms"] == ["k8s = kubernetes"]
        [result] = found["results"]
        added = result["scores"]["bm25"]["terms"].values()
        assert sum(added) == pytest.approx(result["scores"]["bm25"]["score"])
        file.write_text("k8s = kubernetes\nnonsense\n", "utf-8")
        said = complaint(qrank("search", "k8s", "--db", db))
        assert "synonyms.txt, line 2: 'nonsense' names no synonyms" in said
    finally:
        file.unlink()


def test_near_copies_are_one_result_that_names_the_others(index: Index, folder: Path) -> None:
    answer = index.search("steep tea", mode="bm25")
    [result] = answer
    places = [result, *result.copies]
    assert {str(Path(each.path).relative_to(folder)) for each in places} == {
        *("copy.md", "v1/tea.md", "v2/tea.md")
    }
    every = index.search("steep tea", mode="bm25", copies=True)
    assert sorted(names(every)) == ["copy.md", "tea.md", "tea.md"]
    assert all(not result.copies for result in every)
    both = index.search(["steep tea", "green tea"], mode="bm25")
    assert [len(result.copies) for result in both] == [2]


def test_a_version_with_a_word_of_the_query_is_a_result_of_its_own(index: Index) -> None:
    answer = index.search("three minutes", mode="bm25")
    assert [str(Path(result.path).parent.name) for result in answer][:1] == ["v2"]
    other = index.search("two minutes", mode="bm25")
    assert {Path(result.path).parent.name for result in other} > {"v2"} or len(other) == 1
    assert "two" in other.results[0].text


def test_rows_that_are_much_alike_stay_apart(tmp_path: Path) -> None:
    rows = [f"{STEEP} Order {number}" for number in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": r}) + "\n" for r in rows))
    with Index(tmp_path / "i.db") as index:
        index.add(tmp_path, embed=False)
        assert len(index.search("steep", mode="bm25")) == 4


def test_other_texts_take_the_places_of_copies(tmp_path: Path) -> None:
    for number in range(150):
        (tmp_path / f"{number}.md").write_text(f"# Tea\n\ntea tea tea. {STEEP}\n", "utf-8")
    (tmp_path / "other.md").write_text("# Coffee\n\nCoffee is no tea.\n", "utf-8")
    with Index(tmp_path / "i.db") as index:
        index.add(tmp_path, embed=False)
        answer = index.search("tea", mode="bm25")
        assert len(answer) == 2
        assert len(answer.results[0].copies) == 149


def test_the_command_names_copies_and_lists_all_paths(qrank: Qrank, folder: Path) -> None:
    db = folder / "i.db"
    shown = qrank("search", "steep", "--mode", "bm25", "--db", db)
    assert "copies: " in shown.stdout
    assert len(qrank("search", "steep", "--db", db, "-l").stdout.split()) == 3
    assert qrank("search", "steep", "--mode", "bm25", "--db", db, "--count").stdout == "3\n"
    every = qrank("search", "steep", "--db", db, "--jsonl", "--copies", "--fields", "copies")
    assert every.lines() == [{"copies": []}] * 3


def test_a_deadline_bounds_the_whole_command(qrank: Qrank, sample_db: Path) -> None:
    whole = qrank("search", "backup", "--db", sample_db, "--json", "--deadline", 600).json()
    assert not whole["truncated"]
    assert whole["reranked"] or whole["models"]["embed"]
    plain = qrank("search", "backup", "--db", sample_db, "--json").json()
    assert [r["id"] for r in whole["results"]] == [r["id"] for r in plain["results"]]
    none = qrank("search", "backup", "--db", sample_db, "--json", "--deadline", 0)
    assert none.returncode == 1
    assert none.json()["truncated"]
    assert "nothing was found before the deadline" in none.stderr


def test_what_is_slow_does_not_outlive_the_deadline(sample_db: Path) -> None:
    from qrank.cli.deadline import within

    with Index(sample_db) as index:

        def whole(best: object) -> object:
            time.sleep(60)
            raise AssertionError

        def quick() -> object:
            return index.search("backup", mode="bm25")

        started = time.monotonic()
        answer, is_whole = within(3, quick, whole)  # type: ignore[arg-type]
        assert time.monotonic() - started < 30
        assert answer is not None
        assert answer.results
        assert answer.truncated
        assert not is_whole


def test_a_deadline_is_for_one_search(qrank: Qrank, sample_db: Path) -> None:
    (Path(sample_db).parent / "q.txt").write_text("tea\n", "utf-8")
    said = complaint(
        qrank("search", "--queries", sample_db.parent / "q.txt", "--db", sample_db, "--deadline", 1)
    )
    assert "--deadline is for one search" in said
    said = complaint(qrank("search", "tea", "--db", sample_db, "--deadline", "soon"))
    assert "--deadline takes a number from 0" in said


def test_a_word_that_may_be_right_is_kept_beside_others(index: Index) -> None:
    for query, meant in {
        "steeping conection": "steeping connection",  # one letter: a typo
        "steeping conectino": "steeping conectino",  # two
        "conectino": "connection",  # nothing else could be found
    }.items():
        answer = index.search(query, mode="bm25", correct=True)
        assert answer.query == meant
        assert [each.instead for each in index.search(query, mode="bm25").suggestions] == [
            "connection"
        ]


def test_agents_are_told_of_copies_and_of_words_that_no_document_has(folder: Path) -> None:
    from qrank.agents.tools import Tools
    from qrank.config import load_settings
    from qrank.serve.pool import Pool

    with Pool() as pool:
        tools = Tools(pool, load_settings, db=folder / "i.db", folder=str(folder))
        found = tools.search("steep recieve", mode="bm25")
        assert "; copies: " in found
        assert "no document has the word 'recieve'; the nearest is 'receive'" in found
        tools.close()
