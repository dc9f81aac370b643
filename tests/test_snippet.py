"""The excerpt of a chunk that is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrank.cli.output.snippet import best_sentence, context, snippet, whole
from qrank.results import IndexedChunk


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
    around = context(chunk_of(Path("/none"), text, 1, 0, 0), terms, 1)
    for lines in (snippet(text, terms, 40), whole(text, terms), around):
        assert lines
        for line in lines:
            assert "\n" not in line.text
            for start, end in [*line.terms, *([line.best] if line.best else [])]:
                assert 0 <= start <= end <= len(line.text)
    best = best_sentence(text, terms)
    assert best is None or text[slice(*best)].strip()


def passage_of(path: Path, start: int, end: int) -> IndexedChunk:
    data = path.read_bytes()
    line = data.count(b"\n", 0, start) + 1
    return chunk_of(path, data[start:end].decode(), line, start, end)


def chunk_of(path: Path, text: str, line: int, start: int, end: int) -> IndexedChunk:
    return IndexedChunk(
        id="1",
        path=str(path),
        collection="",
        title="",
        heading="",
        start_line=line,
        end_line=line,
        start_byte=start,
        end_byte=end,
        page=None,
        text=text,
        fields={},
        stale=False,
    )


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text("ascii").split()[1])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not count reads")
def test_lines_around_cost_no_more_than_they_are(tmp_path: Path) -> None:
    line = b"x" * 63 + b"\n"
    path = tmp_path / "long.log"
    path.write_bytes(line * 400_000 + b"the kestrel\n" + line * 400_000)  # 51 MB
    found = passage_of(path, len(line) * 400_000, len(line) * 400_000 + 11)
    for around, most in ((0, 50_000), (2, 50_000), (1000, 800_000)):
        before = bytes_read()
        lines = context(found, ["kestrel"], around)
        assert bytes_read() - before < most
        assert [shown.number for shown in lines] == list(
            range(400_001 - around, 400_001 + around + 1)
        )
        assert lines[around].text == "the kestrel"
    one_line = tmp_path / "one.txt"  # a file without a line end
    one_line.write_bytes(b"y" * 20_000_000 + b" kestrel " + b"z" * 20_000_000)
    found = passage_of(one_line, 20_000_000, 20_000_009)
    before = bytes_read()
    [shown] = context(found, ["kestrel"], 3)
    assert bytes_read() - before < 12_000_000
    assert "kestrel" in shown.text


@given(
    above=st.lists(st.integers(0, 3000), max_size=40),
    below=st.lists(st.integers(1, 3000), max_size=40),
    end=st.sampled_from(["\n", "\r\n"]),
    around=st.integers(0, 50),
)
def test_lines_around_are_the_file_s(
    tmp_path_factory: pytest.TempPathFactory,
    above: list[int],
    below: list[int],
    end: str,
    around: int,
) -> None:
    lines = [*("é" * size for size in above), "kestrel", *("ü" * size for size in below)]
    path = tmp_path_factory.getbasetemp() / "around.txt"
    path.write_bytes(end.join(lines).encode())
    start = len(end.join([*lines[: len(above)], ""]).encode())
    found = context(passage_of(path, start, start + 7), ["kestrel"], around)
    first = max(0, len(above) - around)
    wanted = lines[first : len(above) + around + 1]
    assert [(line.number, line.text) for line in found] == list(enumerate(wanted, first + 1))
