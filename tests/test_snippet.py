"""What is shown of a passage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrank.cli.output.snippet import best_sentence, context, snippet, whole
from qrank.results import Passage


@pytest.mark.parametrize(
    ("passage", "terms", "shown"),
    [
        (
            "---\ntitle: Leaves\n---\n\n## Green\n\nSteep it.\n\n### How long?\n\nTwo.\n",
            ["steep"],
            ["Green: Steep it. How long? Two."],
        ),
        (
            "---\ntags: [tea]\ntitle: Leaves\n---\n\nSteep it.",
            ["tea"],
            ["---", "tags: [tea]", "title: Leaves", "---"],
        ),
        (
            "a();\n\nb();\nc();\nd();\ne();\n\n",
            ["c"],
            ["b();", "c();", "d();", "e();"],
        ),
        (
            "def a():\n    b()\n\n\ndef c():\n    d()\n    e()\n",
            ["c"],
            ["def c():", "    d()", "    e()"],
        ),
    ],
)
def test_a_snippet_is_of_what_says_something(
    passage: str, terms: list[str], shown: list[str]
) -> None:
    assert [line.text for line in snippet(passage, terms, 200)] == shown


@given(st.text(max_size=300), st.lists(st.sampled_from(["a", "be", "tea"]), max_size=3))
def test_marks_lie_within_what_is_shown(text: str, terms: list[str]) -> None:
    passage = Passage("1", "/none", "", "", "", 1, 1, 0, 0, None, text, {}, True)
    for lines in (snippet(text, terms, 40), whole(text, terms), context(passage, terms, 1)):  # type: ignore[arg-type]
        assert lines
        for line in lines:
            assert "\n" not in line.text
            for start, end in [*line.terms, *([line.best] if line.best else [])]:
                assert 0 <= start <= end <= len(line.text)
    best = best_sentence(text, terms)
    assert best is None or text[slice(*best)].strip()
