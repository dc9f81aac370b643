"""Markdown against another parser, markdown-it-py: the same top-level headings; blocks tile."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from support import ROOT

from qrank.ingest.extract import front_matter, markdown

PARSER = MarkdownIt("commonmark").enable("table")
PAGES = sorted(
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "sample_corpus", ROOT / "tests")
    for path in (folder.rglob("*.md") if folder != ROOT else folder.glob("*.md"))
)
Headings = list[tuple[int, str]]


class Recorder(markdown._Scan):
    """The reader, with a note of each heading it meets."""

    def __init__(self, text: str) -> None:
        super().__init__(text, 0, [])
        self.met: Headings = []

    def _set_heading(self, level: int, line: str) -> None:
        super()._set_heading(level, line)
        self.met.append(self._path[-1])


def read(text: str) -> Headings:
    """The (level, heading) pairs that qrank finds."""
    scan = Recorder(text)
    scan.run()
    return scan.met


def parsed(text: str) -> Headings:
    """The same of the other parser, of headings that are in no list, quotation or table."""
    tokens = PARSER.parse(text)
    return [
        (int(token.tag[1]), " ".join(plain(inline).split())[: markdown.MAX_HEADING])
        for token, inline in pairwise(tokens)
        if token.type == "heading_open" and token.level == 0
    ]


def plain(token: Token) -> str:
    """What is read of an inline token."""
    if token.children:
        return "".join(map(plain, token.children))
    if token.type in ("softbreak", "hardbreak"):
        return " "
    return token.content if token.type in ("text", "code_inline") else ""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_headings_of_real_pages_are_the_parser_s(path) -> None:
    text = path.read_text("utf-8")
    body = text[front_matter.read(text)[1] :]
    assert read(body) == parsed(body)


LINES = st.sampled_from(
    [
        *("# One", "## Two ##", "###### Six # ", "####### seven", "#none", "#", "   ## in three"),
        *("    # in four", "\t# tab", "Title", "=====", "---", "  ===  ", "- - -", "***", "= ="),
        *("- item", "  - inner", "1. one", "12) twelve", "  # under an item", "* # in an item"),
        *(
            "> quoted",
            "> # quoted heading",
            "> ===",
            "",
            "",
            "",
            "   ",
            "text `code` # no",
            "\\# no",
        ),
        *("```py", "```", "````", "~~~", "   ```", "``` not`a fence", "    code", "\tcode"),
        *(
            "<div>",
            "</div>",
            "<!-- note",
            "-->",
            "<!-- # one line -->",
            "<b>x</b>",
        ),
        *("<script>", "</script>", "<?php", "?>", "<![CDATA[", "]]>", "<!X", ">"),
        *("a | b", "+", "-", "1.", "* "),  # (tables are no CommonMark: parsers differ)
    ]
)


@settings(derandomize=True, max_examples=300)
@given(st.lists(LINES, max_size=14).map("\n".join))
def test_the_headings_of_made_pages_are_the_parser_s(text: str) -> None:
    assert read(text) == parsed(text)


@given(st.lists(LINES | st.text(max_size=9), max_size=14).map("\n".join))
def test_blocks_cover_the_text_in_whole_lines(text: str) -> None:
    blocks = markdown.extract(text)[1]
    edges = [0, *(edge for block in blocks for edge in (block.start, block.end))]
    assert edges[::2] == edges[1::2] + edges[-1:]
    assert not text[edges[-1] :].strip()
    assert all(end == len(text) or text[end - 1] in "\r\n" for end in edges[2::2])


@pytest.mark.parametrize(
    "line",
    [
        *("2) a\n", "- ```\n", "  ```\n  ```\n", "===\n", "a | b\n", "> ===\n", "    code\n"),
        *("[a]: /b\n", "<b x=1 y='2'\n", "- - - x\n", ">", "| a ", "[a", "<!", "* ", "#", "``` `"),
    ],
)
def test_no_text_takes_long(line: str) -> None:
    """The time grows as the text does: with its square, this would take minutes."""
    for start in ("", "text\n", "- item\n", "a | b\n--- | ---\n"):
        began = time.process_time()
        markdown.extract(start + line * (100_000 // len(line)) + "\n---\n")
        assert time.process_time() - began < 10
