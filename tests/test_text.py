"""The analyser's promises: what matches what."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qrank.analysis.language import language
from qrank.analysis.text import STOP_WORDS, index_terms, query_terms, tokens, variants


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


def test_c_plus_plus_is_not_c() -> None:
    assert set(query_terms("c++")).isdisjoint(index_terms("plain C code"))


def test_stop_words_go_unless_nothing_else_is_left() -> None:
    assert query_terms("what is the tide") == ["tide"]
    assert query_terms("To be, or not to be") == ["to", "to", "be", "be", "or", "not"]
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


def test_a_repeated_word_counts_twice_and_no_more() -> None:
    assert query_terms("tea, more tea and still more tea") == "tea tea more more still".split()
