"""The text analysis: which spellings and forms match each other."""

from __future__ import annotations

import html
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import ROOT

from qrank.analysis.language import language
from qrank.analysis.text import (
    STOP_WORDS,
    compounds,
    index_terms,
    joined_terms,
    query_terms,
    tokens,
    variants,
)


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("retries", "def max_retries(): ..."),  # parts of identifiers, stemmed
        ("max_retries", "set max_retries to 3"),  # and the whole
        ("maxRetries", "let maxRetries = 3"),
        ("tea", "drink _green tea_ hot"),  # emphasis of Markdown
        ("été", "cet __été__"),
        ("http response", "class HTTPResponse2"),
        ("cafe", "un café au lait"),  # accents
        ("cafe\u0301", "un café au lait"),  # decomposed
        ("STRASSE", "Straße"),  # case folding, not lower-casing
        ("eau", "de l’eau fraîche"),  # elision
        ("running shoes", "a shoe to run in"),  # stemming
        ("c++", "written in C++ and Rust"),
        ("C#", "C# developers"),
        ("北京", "他住在北京市"),  # bigrams
        ("ｶﾒﾗ", "カメラを買う"),  # half-width kana
        ("книга", "книги на столе"),
        ("पानी", "पानी की टंकी"),
        ("كتاب", "الكتاب"),
    ],
)
def test_a_query_shares_a_term_with_what_it_should_find(query: str, document: str) -> None:
    assert set(index_terms(document)).intersection(query_terms(query))


@pytest.mark.parametrize("document", ["我喝红茶。", "茶树", "绿茶和红茶"])
def test_one_character_is_the_start_of_a_bigram_or_the_last_of_a_run(document: str) -> None:
    assert query_terms("茶") == ["茶"]
    assert any(term.startswith("茶") for term in index_terms(document))


def rows_of_the_table() -> list[tuple[str, str]]:
    """(query, text) of each line of the table in docs/ranking.md."""
    page = (ROOT / "docs" / "ranking.md").read_text("utf-8")
    table = page.split("## What is found by what")[1].split("\n## ")[0]
    lines = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return [(row[0][3:-1], html.unescape(row[1]).replace("⏎", "\n")) for row in lines]


@pytest.mark.parametrize(("query", "document"), rows_of_the_table())
def test_the_documentation_says_what_is_found(query: str, document: str) -> None:
    meant = [term for term in query_terms(query) if len(term) > 1 or query.isascii()]
    assert meant
    assert set(index_terms(document)).intersection(meant)


@pytest.mark.parametrize(
    ("whole", "other"),
    [
        (".NET", "the net result"),
        ("$HOME", "a home"),
        ("@types", "some types"),
        ("#tea", "tea"),
        ("C++17", "17 c"),
        ("A股", "股 a"),
    ],
)
def test_a_sign_tells_more_than_the_word(whole: str, other: str) -> None:
    assert set(query_terms(whole)) <= set(index_terms(f"about {whole} here"))
    assert not set(query_terms(whole)) <= set(index_terms(other))


def test_what_signs_hold_together_is_a_phrase() -> None:
    assert compounds("from 10.0.0.1 to ada@example.org") == [
        ("10", "0", "0", "1"),
        ("ada", "exampl", "org"),
    ]
    assert compounds("call 030 123 45-67 today") == [("030", "123", "45", "67")]
    assert compounds("don't use plain words, l'eau") == []


@pytest.mark.parametrize(
    "char", ["a", "aA", "_", "a'", "ab-\n", "é", "e\u0301", "가", "茶", "茶a", "1.", "$a"]
)
def test_a_megabyte_in_one_word_is_no_trouble(char: str) -> None:
    word = char * (1_000_000 // len(char))
    assert joined_terms(word).split() == index_terms(word)
    assert len(query_terms(word)) <= len(word)


@given(st.text(max_size=200))
@example("Donau-\ndampf .net \x01a $b\x04c")
@example("A股.net第3章@x")
def test_both_ways_to_make_terms_agree(text: str) -> None:
    assert joined_terms(text).split() == index_terms(text)


# A word in any script: letters and digits, decomposed below. (Forms of the vowel signs of Arabic
# that stand alone are no letters of a word.)
FORMS = "".join(map(chr, range(0xFE70, 0xFE80)))
LETTERS = st.characters(categories=["Lu", "Ll", "Lt", "Lo"], exclude_characters=f"ªº{FORMS}")
INNER = st.characters(categories=["Lu", "Ll", "Lt", "Lo", "Nd"], exclude_characters=f"ªº{FORMS}")


@given(LETTERS, st.text(INNER, min_size=2, max_size=8))
@example("ё", "лка")
@example("A", "0ŉ")
@example("A", "ŉ00")
def test_a_word_of_any_script_is_found_as_it_may_be_typed(first: str, rest: str) -> None:
    word = first + rest
    indexed = set(index_terms(f"… {unicodedata.normalize('NFC', word)}, …"))
    for typed in (word, unicodedata.normalize("NFD", word), word.upper()):
        assert set(query_terms(typed)) & indexed, (word, typed, ascii(word))


def test_c_plus_plus_is_not_c() -> None:
    assert set(query_terms("c++")).isdisjoint(index_terms("plain C code"))


def test_stop_words_go_unless_nothing_else_is_left() -> None:
    assert query_terms("what is the tide") == ["tide"]
    assert query_terms("To be, or not to be") == ["to", "be", "or", "not"]
    assert query_terms("?!… --") == []


@given(st.text(max_size=300))
@example("\ufe70 \ufdfa")  # their compatibility forms hold blanks
def test_any_text_gives_clean_terms_at_their_places(text: str) -> None:
    end = 0
    for start, stop, terms in tokens(text):
        assert 0 <= start < stop <= len(text)
        assert stop >= end  # in order
        end = stop
        assert all(term and not any(c.isspace() for c in term) for term in terms)
    assert all(len(term) <= 64 for term in index_terms(text))


@given(st.text(max_size=100))
def test_a_text_finds_itself(text: str) -> None:
    assert set(query_terms(text)) <= set(index_terms(text))


def test_stop_words_are_folded() -> None:
    assert all(word == word.lower() for word in STOP_WORDS)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "La casa es grande y el jardín también, porque no hay otra como esta en la calle.",
            "spanish",
        ),
        ("Bu kitap çok güzel ve daha sonra için de iyi bir hediye olarak düşünüldü.", "turkish"),
        ("Das Haus ist nicht groß, aber der Garten und die Bäume sind sehr schön.", "german"),
        ("The house is not large but the garden and its trees are.", "english"),
        ("for i in range(len(cells)): total += cells[i] if cells[i] in seen else 0", "english"),
        ("", "english"),
    ],
)
def test_the_language_is_that_of_the_frequent_words(text: str, named: str) -> None:
    assert language(text) == named


def test_inflected_words_meet_in_the_document_s_language() -> None:
    document = index_terms("kitapların fiyatları", "turkish")
    extra = variants("fiyatlar, kitaplar", ["turkish"])["turkish"]
    assert set(document) <= set(query_terms("fiyatlar, kitaplar") + extra)
    assert not set(document) <= set(query_terms("fiyatlar, kitaplar"))
    assert set(index_terms("Ankara'nın", "turkish")) & set(query_terms("Ankara", "turkish"))


def test_a_repeated_word_counts_again_in_a_longer_text_alone() -> None:
    assert query_terms("tea, more tea and still more tea") == ["tea", "more", "still"]
    assert query_terms("Tea. More tea!\nTea?") == ["tea", "tea", "tea", "more"]
