"""Compound words of German, Dutch and the Nordic languages, and searches for their parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Run, write_files

from qrank import Index
from qrank.searching.interpret.parts import SHORTEST, split

Qrank = Callable[..., Run]
FILES = {
    "claim.md": "Die Reisekostenabrechnung ist bis zum Ende des Monats mit allen Belegen bei der "
    "Buchhaltung, und nicht von der Abteilung aus, einzureichen.",
    "both.md": "Die Abrechnung der Reisekosten ist für alle, die mit dem Zug und nicht mit dem "
    "Wagen fahren, auf dem neuen Formular einzureichen.",
    "other.md": "Der Garten ist in diesem Jahr für die Bienen und nicht für den Rasen da, es wird "
    "nur noch auf den Wegen gemäht.",
    "dutch.md": "De verzekeringsmaatschappij is van het jaar niet meer op de markt, en dat is voor "
    "de maatschappij zelf een zegen.",
    "dutch-2.md": "De verzekering van het huis is op dit moment niet meer te krijgen, en dat wordt "
    "er ook niet beter op.",
    "swedish.md": "Det är en sjukförsäkring som inte är för den som har en annan försäkring, och "
    "den kan inte sägas upp av den som är med.",
    "swedish-2.md": "Det är sjukt kallt i den här staden, och det är inte för att den ligger "
    "vid ett hav.",
    "english.md": "The therapist is in the house that was built by the owner, and it is not for "
    "sale. Interesting things are to be found by those who are there.",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("compounds")
    write_files(made, FILES)
    with Index(made / "i.db") as index:
        index.add(made, embed=False)
    return made


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("Reisekosten", ["both.md", "claim.md"]),  # the whole word first
        ("Reisekostenabrechnung", ["claim.md", "both.md"]),
        ("reisekosten formular", ["both.md", "claim.md"]),
        ("verzekeringsmaatschappij", ["dutch.md", "dutch-2.md"]),
        ("verzekering", ["dutch-2.md", "dutch.md"]),
        ("interest", ["english.md"]),
        ("theo", []),
        ("the rapist", []),  # English is not taken apart
        ("gras", []),  # nothing begins so
    ],
)
def test_words_find_compounds_and_compounds_their_parts(
    folder: Path, query: str, found: list[str]
) -> None:
    with Index(folder / "i.db") as index:
        assert [Path(each.path).name for each in index.search(query, mode="bm25")] == found


def test_a_word_with_compounds_or_parts_is_no_typo(folder: Path) -> None:
    with Index(folder / "i.db") as index:
        answer = index.search("sjuk", mode="bm25", correct=True)  # not "sjukt", a letter away
        assert (answer.query, answer.suggestions) == ("sjuk", [])
        assert {Path(each.path).name for each in answer} == {"swedish.md", "swedish-2.md"}
        assert index.search("sjukx", mode="bm25").suggestions


def test_where_a_compound_stands_is_shown(folder: Path) -> None:
    with Index(folder / "i.db") as index:
        claim = index.search("Reisekosten", mode="bm25").results[1]
        assert [claim.text[start:end] for start, end in claim.matches] == ["Reisekostenabrechnung"]


@pytest.mark.parametrize(
    "query",
    ["Reisekosten", "Reisekostenabrechnung der Buchhaltung", '"Abrechnung der" Reisekosten'],
)
def test_what_parts_add_is_explained(qrank: Qrank, folder: Path, query: str) -> None:
    db = folder / "i.db"
    asked = qrank("search", query, "--db", db, "--mode", "bm25", "--explain", "--json").json()
    assert asked["results"]
    for result in asked["results"]:
        bm25 = result["scores"]["bm25"]
        assert sum(bm25["terms"].values()) == pytest.approx(bm25["score"])


def test_a_query_in_plain_english_asks_for_no_compounds(folder: Path) -> None:
    with Index(folder / "i.db") as index:
        alone = index.search("verzekering", mode="bm25")
        asked = index.search("which are the verzekering", mode="bm25")
        assert len(alone) == 2
        assert [Path(each.path).name for each in asked] == []


WORDS = st.lists(st.text("abcdens", min_size=2, max_size=8), min_size=1, max_size=8)


@given(WORDS, WORDS)
def test_parts_are_known_and_nothing_but_links_is_between_them(
    made_of: list[str], others: list[str]
) -> None:
    word, known = "".join(made_of), {*made_of, *others}
    parts = split(word, known)
    assert len(parts) != 1
    assert all(part in known and len(part) >= SHORTEST for part in parts)
    for part in parts:
        before, found, word = word.partition(part)
        assert found
        assert before in {"", "s", "n", "en", "es", "er", "e", "ns"}
    assert not parts or not word


def test_a_word_of_many_parts_is_taken_apart_in_linear_memory_and_no_long_time() -> None:
    assert split("abcd" * 10, {"abcd"}) == ["abcd"] * 10
    assert split("abcd" * 9 + "abce", {"abcd", "dabc"}) == []
