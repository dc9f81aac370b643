"""The query syntax: parsing, and its effect in every mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Run, complaint

import qrank
from qrank.searching.query import parse
from qrank.store.filters import Phrase


@pytest.mark.parametrize(
    ("query", "plain", "required", "excluded"),
    [
        ("green tea", "green tea", (), ()),
        ('"green tea" cup', "green tea cup", (Phrase(("green", "tea")),), ()),
        ("tea -milk", "tea", (), (Phrase(("milk",)),)),
        ('tea -"black tea"', "tea", (), (Phrase(("black", "tea")),)),
        ("title:Menu tea", "Menu tea", (Phrase(("menu",), title=True),), ()),
        ('-title:"old draft" tea', "tea", (), (Phrase(("old", "draft"), title=True),)),
        ("TITLE:menu", "menu", (Phrase(("menu",), title=True),), ()),
        ("well-known e-mail", "well-known e-mail", (), ()),
        ("a - b -- c", "a - b -- c", (), ()),
        ('an "open quote', 'an "open quote', (), ()),
        ('5" disk', '5" disk', (), ()),
        ("title: menu", "title: menu", (), ()),
        ('""', '""', (), ()),
        ('"..." tea', '"..." tea', (), ()),
        ('"红茶" 水', "红茶 水", (Phrase(("红茶",)),), ()),
        ('"茶"', "茶", (Phrase(("茶",), open_end=True),), ()),
        ('"to be or not"', "to be or not", (Phrase(("to", "be", "or", "not")),), ()),
    ],
)
def test_a_query_is_taken_apart(
    query: str, plain: str, required: tuple[Phrase, ...], excluded: tuple[Phrase, ...]
) -> None:
    parsed = parse(query)
    assert (parsed.plain, parsed.required, parsed.excluded) == (plain, required, excluded)


@given(st.text(alphabet='ab "-:\n红茶title*()^', max_size=30))
def test_any_query_can_be_taken_apart(query: str) -> None:
    parsed = parse(query)
    assert all(phrase.terms for phrase in parsed.required + parsed.excluded)
    if '"' not in query and "-" not in query and ":" not in query:
        assert (parsed.plain, parsed.required, parsed.excluded) == (query, (), ())


TEXTS = {
    "green.md": "# Green tea\n\nPour hot water over the leaves.\n",
    "black.md": "# Black tea\n\nPour boiling water over the leaves, add milk.\n",
    "cold.md": "# Cold brew\n\nWater that is boiling hot ruins it. Leaves of tea stay long.\n",
    "chinese.md": "# 茶\n\n红茶要用沸水冲泡四分钟。\n",
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[qrank.Index]:
    folder = tmp_path_factory.mktemp("shelf")
    for name, text in TEXTS.items():
        (folder / name).write_text(text, "utf-8")
    with qrank.Index(folder / "i.db", embed_model="tiny", rerank_model="tiny") as index:
        index.add([folder])
        yield index


@pytest.mark.parametrize("mode", ["bm25", "vector", "hybrid"])
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('leaves "boiling water"', {"black.md"}),
        ('"boiling water"', {"black.md"}),
        ("leaves -milk", {"green.md", "cold.md"}),
        ("leaves title:tea", {"green.md", "black.md"}),
        ("title:black", {"black.md"}),
        ('leaves -"green tea" -title:cold', {"black.md"}),
        ('"沸水冲泡"', {"chinese.md"}),
        ('"red leaves"', set()),
    ],
)
def test_every_mode_keeps_to_the_syntax(
    shelf: qrank.Index, mode: str, query: str, names: set[str]
) -> None:
    found = {Path(hit.path).name for hit in shelf.search(query, mode=mode).results}
    # By meaning anything may match that is not left out.
    assert names <= found
    assert found - names <= ({"chinese.md"} if "-" in query and mode != "bm25" else set())


WORDS = " ".join(f"word{i}" for i in range(3000))


@pytest.mark.parametrize(
    "query", ["the of and", "?!…", "--", "a" * 5000, WORDS, f'"{WORDS}"', "title:a " * 500]
)
@pytest.mark.parametrize("mode", ["bm25", "hybrid"])
def test_an_odd_query_does_not_fail(shelf: qrank.Index, query: str, mode: str) -> None:
    assert len(shelf.search(query, mode=mode).results) <= len(TEXTS)


def test_a_query_that_only_leaves_out_says_so(qrank: Callable[..., Run]) -> None:
    qrank("init")
    assert "only excludes words" in complaint(qrank("search", "--", "-tea"))


def test_a_dash_before_a_word_is_said_to_exclude_it(
    qrank: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "tar.md").write_text("Unpack with tar -xzf file.tgz, and --dry-run first.\n")
    (tmp_path / "other.md").write_text("Roads are made of tar.\n")
    assert qrank("index", "tar.md", "other.md", "--db", "i.db", "--no-embed").returncode == 0

    def paths(query: str) -> tuple[list[str], str]:
        run = qrank("search", query, "--db", "i.db", "--mode", "bm25", "--format", "{path}")
        return [Path(line).name for line in run.stdout.splitlines()], run.stderr

    assert paths("tar -xzf") == (
        ["other.md"],
        'qrank: results with xzf are excluded (to search for -xzf, write "-xzf")\n',
    )
    assert paths('tar "-xzf"') == (["tar.md"], "")
    assert paths("tar --dry-run")[0][0] == "tar.md"  # two dashes exclude nothing


@pytest.mark.parametrize(
    "query",
    [
        "“boiling water”",
        "„boiling water“",
        "«boiling water»",
        "「boiling water」",
        "leaves “boiling water”",
    ],
)
def test_quotation_marks_of_other_languages_hold_words_together(
    shelf: qrank.Index, query: str
) -> None:
    results = shelf.search(query, mode="bm25", limit=20).results
    assert {Path(result.path).name for result in results} == {"black.md"}


@pytest.mark.parametrize("mode", ["bm25", "vector", "hybrid"])
@pytest.mark.parametrize(
    "query", ["budget review 2025", "BudgetReview2025.md", "n/budget_review-2025.md", "The Title"]
)
def test_a_query_that_is_a_name_brings_what_it_names_first(
    tmp_path: Path, mode: str, query: str
) -> None:
    folder = tmp_path / "n"
    folder.mkdir()
    (folder / "budget_review-2025.md").write_text("# The Title\n\nIncome and costs.\n")
    for i in range(5):
        text = (
            "The budget review 2025, see n/budget_review-2025.md (The Title), budget review 2025.\n"
        )
        (folder / f"memo{i}.md").write_text(text * (i + 1))
    with qrank.Index(tmp_path / "i.db", embed_model="tiny", rerank_model="tiny") as index:
        index.add([folder])
        answer = index.search(query, mode=mode, rerank=True, limit=3)
    first, second = answer.results[:2]
    assert Path(first.path).name == "budget_review-2025.md"
    assert first.scores.named
    assert not second.scores.named
    assert first.score >= second.score


def test_a_phrase_in_the_text_goes_before_one_in_the_title(tmp_path: Path) -> None:
    page = "<title>On boiling water</title><p>Hot drinks, and how long the leaves stay in them.</p>"
    (tmp_path / "a.html").write_text(page)
    (tmp_path / "b.md").write_text("Some words, and then boiling water is poured over them.\n" * 2)
    with qrank.Index(tmp_path / "i.db", embed_model="tiny", rerank_model="tiny") as index:
        index.add([tmp_path / "a.html", tmp_path / "b.md"])
        for mode in ("bm25", "hybrid"):
            results = index.search('"boiling water"', mode=mode).results
            assert [Path(result.path).name for result in results] == ["b.md", "a.html"], mode
            assert results[0].score >= results[1].score


def test_code_that_defines_a_name_comes_first(tmp_path: Path) -> None:
    calls = "import shop\n\n" + "".join(f"shop.price_of({i})\n" for i in range(20))
    (tmp_path / "calls.py").write_text(calls)
    (tmp_path / "prices.md").write_text("price_of gives the price_of things: price_of.\n")
    (tmp_path / "shop.py").write_text("def a():\n    pass\n\n\ndef price_of(x):\n    return x\n")
    (tmp_path / "shop.go").write_text(
        "package shop\n\nfunc (s Shop) PriceOf(x int) int { return x }\n"
    )
    with qrank.Index(tmp_path / "i.db", embed_model="tiny", rerank_model="tiny") as index:
        index.add([tmp_path])
        for query, name in (
            ("price_of", "shop.py"),
            ("shop.price_of()", "shop.py"),
            ("PriceOf", "shop.go"),
        ):
            for mode in ("bm25", "hybrid"):
                assert Path(index.search(query, mode=mode).results[0].path).name == name, query


LONG = ["a", "1", ".", "«", "「", "“", "a.", "1 ", "a_", "-", '"', "1.", "((", "\u200f", "«a "]


@pytest.mark.parametrize("part", LONG)
def test_a_query_of_100_kb_is_taken_apart(part: str) -> None:
    """In linear time: what takes the square of it would not end here for minutes."""
    parsed = parse("a" + part * (100_000 // len(part)), ["german", "french"])
    assert len(parsed.terms) <= 100_000
