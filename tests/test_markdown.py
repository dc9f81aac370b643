"""The Markdown scanner against a full parser, markdown-it-py: the same top-level headings."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
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
    """The scanner, with a note of each heading it meets."""

    def __init__(self, text: str) -> None:
        super().__init__(text, 0, [])
        self.met: Headings = []

    def _set_heading(self, level: int, line: str) -> None:
        super()._set_heading(level, line)
        self.met.append(self._path[-1])


def scanned(text: str) -> Headings:
    """The (level, heading) pairs of the scanner."""
    scan = Recorder(text)
    scan.run()
    return scan.met


def parsed(text: str) -> Headings:
    """The same of the parser, of headings that are in no list, quotation or table."""
    tokens = PARSER.parse(text)
    return [
        (int(token.tag[1]), " ".join(inline.content.split())[: markdown.MAX_HEADING])
        for token, inline in pairwise(tokens)
        if token.type == "heading_open" and token.level == 0
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_headings_of_real_pages_are_the_parser_s(path) -> None:
    text = path.read_text("utf-8")
    body = text[front_matter.read(text)[1] :]
    assert scanned(body) == parsed(body)


LINES = st.sampled_from(
    [
        *("# One", "## Two ##", "###### Six #\t", "####### seven", "#none", "#", "   ## in three"),
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
            "<pre>",
            "</pre>",
            "<b>x</b>",
        ),
        *("<script>", "</script>", "<?php", "?>", "<![CDATA[", "]]>", "<!X", ">"),
        *("| a | b |", "|---|---|", "a | b", "--- | ---", "[a]: /b", "+", "-", "1.", "* "),
    ]
)


@settings(derandomize=True, max_examples=300)
@given(st.lists(LINES, max_size=14).map("\n".join))
def test_the_headings_of_made_pages_are_the_parser_s(text: str) -> None:
    assert scanned(text) == parsed(text)


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
