"""Chunks: the file's text between two byte offsets; they cover the text without overlap."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import extract

from qrank.errors import NoTextError
from qrank.ingest.chunk import MAX_TOKENS, chunk, split

PIECES = st.sampled_from(
    "# A\n|## B ##\n\n|Title\n=====\n|```py\nx = 1\n```\n|- item\n|  - inner\n|> quoted\n".split(
        "|"
    )
    + "\n|\r\n|\r|word |Ein Satz. |日本語。|def f():\n    return 1\n\n|naïve |🙂|\t|---\n".split(
        "|"
    )
    + "<div>\n|1. one\n|    code\n|[a]: /b\n".split("|")
    + ["| a | b |\n|---|---|\n| 1 | 2 |\n"]
)
TEXTS = st.one_of(st.text(max_size=400), st.lists(PIECES, max_size=40).map("".join))


def lines_before(data: bytes, end: int) -> int:
    """How many lines end before a byte; in a file without any "\\n" a "\\r" ends one."""
    return data.count(b"\n" if b"\n" in data else b"\r", 0, end)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.py"])
@given(text=TEXTS, size=st.integers(min_value=8, max_value=300), bom=st.booleans())
@example(text="---\ntitle: x\n---\n# A\r\n\r\nnaïve\r\n\r\n日本語", size=8, bom=True)
def test_a_chunk_is_the_bytes_between_its_offsets(name, text, size, bom) -> None:
    if text.startswith("\ufeff"):
        text = text[1:]
    if "\0" in text or "\x1b$" in text or "\f" in text:
        return  # binary, another encoding, pages
    data = (b"\xef\xbb\xbf" if bom else b"") + text.encode("utf-8")
    chunks = chunk(extract(name, data), max_tokens=size, min_tokens=size // 4)
    assert bool(chunks) == bool(text.strip())
    covered = bytearray(data)
    end = 0
    for piece in chunks:
        assert end <= piece.start_byte < piece.end_byte <= len(data)
        end = piece.end_byte
        raw = data[piece.start_byte : piece.end_byte]
        assert raw.decode("utf-8") == piece.text
        assert len(raw) <= max(4 * size, 4)
        assert piece.start_line == lines_before(data, piece.start_byte) + 1
        assert piece.end_line == lines_before(data, piece.end_byte) + 1
        covered[piece.start_byte : piece.end_byte] = b" " * len(raw)
    left = bytes(covered).removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    assert not left.strip(), "text that is in no chunk"


def test_a_chunk_carries_the_headings_above_it() -> None:
    text = "# Tea\n\n" + "Steep. " * 80 + "\n\n## Green\n\n### Sencha\n\n" + "Cool water. " * 40
    chunks = chunk(extract("t.md", text.encode()))
    assert [piece.heading for piece in chunks] == ["Tea", "Tea > Green > Sencha"]
    assert chunks[1].text.startswith("## Green")  # a heading stays with what is below it


def test_a_word_is_never_cut_and_a_sentence_only_when_it_must() -> None:
    sentences = [f"Sentence number {i} says a few things." for i in range(200)]
    chunks = chunk(extract("t.txt", " ".join(sentences).encode()))
    assert all(piece.text.endswith(".") for piece in chunks)
    assert all(len(piece.text) > 4 * MAX_TOKENS / 2 for piece in chunks[:-1])


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("---\ntags: [x]\n---\n# Tea\n\nSteep.\n\n## Green\n\nCool.\n", "Tea"),
        ("Before.\n\n# Tea\n\nSteep.\n", "Tea"),
        ("# Tea\n\nSteep.\n\n# Coffee\n\nGrind.\n", "Tea"),
    ],
)
def test_a_small_file_s_passage_is_under_what_its_parts_share(text: str, heading: str) -> None:
    [piece] = chunk(extract("t.md", text.encode()))
    assert piece.heading == heading


def test_a_heading_is_not_parted_from_a_sentence_that_is_too_long() -> None:
    chunks = chunk(extract("t.md", b"# Tea\n\n" + b"and more " * 300))
    assert chunks[0].text.startswith("# Tea\n\nand more and")
    assert all(len(piece.text) > 4 * MAX_TOKENS - 20 for piece in chunks[:-1])


def test_code_is_cut_between_definitions() -> None:
    body = "    x = 1\n" * 60
    text = f"import os\n\n\ndef first():\n{body}\n\ndef second():\n{body}"
    chunks = chunk(extract("t.py", text.encode()))
    assert any(piece.text.startswith("def second") for piece in chunks)


@pytest.mark.parametrize("data", [b"\x7fELF\0\0", bytes(range(256)), b"\0" * 100])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(NoTextError):
        extract("a.txt", data)


def test_front_matter_gives_the_title() -> None:
    assert extract("a.md", b'---\ntitle: "On tea"\n---\n# Other\n').title == "On tea"
    assert extract("a.md", b"intro\n\n# Heading *one*\n").title == "Heading one"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("We ship many teas, e.g. green ones.", "e.g. green"),
        ("It was said by Dr. Smith himself.", "Dr. Smith"),
        ("It was said by J. Doe himself.", "J. Doe"),
        ("Man kann z. B. grünen Tee nehmen.", "z. B. grünen"),
    ],
)
def test_a_full_stop_within_a_sentence_ends_none(text: str, kept: str) -> None:
    before = "A sentence that is rather long stands here, the first."
    whole = f"{before} {text} Then it goes on for a while."
    until = len(f"{before} {text}".encode())
    for size in range(len(before) + 1, until + 3):
        first = whole[slice(*split(whole, 0, len(whole), size)[0])]
        assert first == (before if size < until else f"{before} {text}")
