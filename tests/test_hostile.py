"""Broken and hostile files: only the file is skipped, with a reason, and it is not retried."""

from __future__ import annotations

import gzip
import io
import os
import random
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import COMMAND, SAMPLE, Run

from qrank.errors import ExtractError, NoTextError
from qrank.ingest import readers
from qrank.ingest.extract import documents
from qrank.ingest.prepare import new_chunks
from qrank.ingest.readers import read_all
from qrank.results import Signature, Task
from qrank.settings import READ_ALL, Reading

FILES = Path(__file__).parent / "files"
FUZZ = int(os.environ.get("QRANK_FUZZ", "150"))  # inputs
Qrank = Callable[..., Run]


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """Readers that crash, hang, or eat memory, as a library with a bug would: what --pre cannot
    show, because it is a process of its own."""
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'qrank.ingest.worker' in ' '.join(sys.orig_argv):\n"
        "    import builtins, ctypes, os, time\n"
        "    import zipfile\n"
        "    def opened(self, *args, **options):\n"
        "        os.write(os.open(os.environ['OPENED'], os.O_CREAT | os.O_APPEND | os.O_WRONLY),"
        " b'x')\n"
        "        real(self, *args, **options)\n"
        "        text = self.comment\n"
        "        if text == b'crash': ctypes.string_at(0)\n"
        "        if text == b'hang': time.sleep(1000)\n"
        "        if text == b'spin':\n"
        "            while True: pass\n"
        "        if text == b'eat': bytearray(1 << 40)\n"
        "    real, zipfile.ZipFile.__init__ = zipfile.ZipFile.__init__, opened\n",
        "utf-8",
    )
    return folder


def docx(path: Path, comment: bytes) -> None:
    path.write_bytes((FILES / "water.docx").read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment


def reasons(run: Run) -> dict[str, str]:
    return {Path(problem["path"]).name: problem["reason"] for problem in run.json()["errors"]}


def test_a_reader_that_crashes_hangs_or_eats_costs_its_file(
    qrank: Qrank, tmp_path: Path, evil: Path
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in ("crash", "hang", "spin", "eat", "good"):
        docx(notes / f"{name}.docx", name.encode())
    (notes / "z.md").write_text("# Last\n\nThe last one.\n", "utf-8")
    words = ("index", "notes", "--no-embed", "--db", "i.db", "--json", "--timeout", "1")
    opened = tmp_path / "opened"  # a byte for each time that a reader was called
    variables = {"PYTHONPATH": str(evil), "OPENED": str(opened)}
    run = qrank(*words, **variables)
    assert run.json()["files"] == {
        "added": 2, "updated": 0, "unchanged": 0, "removed": 0, "skipped": 0, "failed": 4,
    }  # fmt: skip
    said = reasons(run)
    assert "crashed (SIGSEGV)" in said["crash.docx"]
    assert said["hang.docx"] == said["spin.docx"] == "took longer than 1 s"
    assert "memory" in said["eat.docx"]
    opened.unlink()
    again = qrank(*words, **variables)
    assert not opened.exists()  # nothing was tried again
    assert reasons(again) == said
    assert all(problem["known"] for problem in again.json()["errors"])
    assert "skipped" not in again.stderr
    docx(notes / "crash.docx", b"healed")
    assert qrank(*words, **variables).json()["files"]["added"] == 1


def bomb(path: Path, member: str, size: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        with archive.open(member, "w", force_zip64=True) as file:
            for _ in range(size >> 20):
                file.write(bytes(1 << 20))


def test_bombs_and_what_is_not_what_it_says(qrank: Qrank, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    bomb(notes / "a.docx", "word/document.xml", 600 << 20)
    bomb(notes / "b.odt", "content.xml", 100 << 20)
    bomb(notes / "c.epub", "META-INF/container.xml", 100 << 20)
    (notes / "d.txt.gz").write_bytes(gzip.compress(bytes(300 << 20), 1))
    (notes / "e.gz.gz").write_bytes(gzip.compress(gzip.compress(b"x")))
    entities = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(12))
    lol = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "lol">{entities}]><x>&a12;</x>'
    with zipfile.ZipFile(notes / "f.odt", "w") as archive:
        archive.writestr("content.xml", lol)
    for i, suffix in enumerate(("pdf", "docx", "xlsx", "pptx", "epub", "odt", "ipynb", "bz2")):
        (notes / f"g{i}.{suffix}").write_bytes(b"not at all\0")
    (notes / "h.md").write_text("---\na: &a [x]\nb: [*a, *a]\n---\nThe good one.\n", "utf-8")
    os.mkfifo(notes / "i.pdf")
    run = qrank("index", "notes", "--no-embed", "--db", "i.db", "--json")
    assert run.json()["files"]["added"] == 1
    said = reasons(run)
    assert len(said) == 14
    for name in ("a.docx", "b.odt", "c.epub", "d.txt.gz"):
        assert "unpacks to more than" in said[name]
    assert said["e.gz.gz"] == "compressed twice"


def test_deep_nesting_is_read_or_refused(tmp_path: Path) -> None:
    depth = 100_000
    (tmp_path / "a.html").write_text("<div>" * depth + "deep" + "</div>" * depth, "utf-8")
    (tmp_path / "b.jsonl").write_text("[" * depth + "]" * depth + '\n{"text": "ok"}\n', "utf-8")
    (tmp_path / "c.ipynb").write_text('{"cells":' * depth, "utf-8")
    (tmp_path / "d.py").write_text("(" * depth + ")" * depth, "utf-8")
    (tmp_path / "e.md").write_text("> " * depth + "quoted\n" + "- " * depth + "item\n", "utf-8")
    tasks = [Task(str(path), Signature.of(path.stat())) for path in sorted(tmp_path.iterdir())]
    outcomes = list(read_all(tasks, READ_ALL))
    assert [not o.problem for o in outcomes if not o.task.path.endswith(("html", "py"))] == [
        True, False, True,
    ]  # fmt: skip


def test_a_huge_log_is_refused_or_read_in_bounded_memory(
    tmp_path: Path, environment: dict[str, str], qrank: Qrank
) -> None:
    log = tmp_path / "big.log"
    line = b"2024-05-01 12:00:00 worker 17 finished job %09d in 12 ms without any errors\n"
    with log.open("wb") as file:
        for i in range(500_000):
            file.write(line % i)
    refused = qrank("index", "big.log", "--no-embed", "--db", "i.db", "--json")
    assert refused.returncode == 2
    assert "--max-filesize" in refused.stderr
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    words = [COMMAND, "index", log, "--no-embed", "--db", tmp_path / "i.db", "--max-filesize", "1G"]
    run = subprocess.run(
        [sys.executable, "-c", script, *words], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[-1]) < 300_000  # KiB
    found = qrank("search", "000499999", "--mode", "bm25", "--db", "i.db", "--json").json()
    [hit] = found["results"]
    assert hit["start_line"] <= 500_000 <= hit["end_line"]
    with log.open("rb") as file:
        file.seek(hit["start_byte"])
        assert file.read(hit["end_byte"] - hit["start_byte"]).decode() == hit["text"]


def test_a_file_that_vanishes_or_changes_while_it_is_read(tmp_path: Path) -> None:
    gone = Task(str(tmp_path / "gone.md"), Signature(1, 0))
    gone_pdf = Task(str(tmp_path / "gone.pdf"), Signature(1, 0))
    for outcome in read_all([gone, gone_pdf], READ_ALL):
        assert outcome.problem
        assert outcome.problem.kind == "unread"
    path = tmp_path / "grows.log"
    path.write_bytes(b"line\n" * 2_000_000)
    [outcome] = read_all([Task(str(path), Signature.of(path.stat()))], READ_ALL)
    with path.open("ab") as file:
        file.write(b"more\n")
    with pytest.raises(OSError, match="changed"):
        list(outcome.rest)


def test_the_user_s_own_command_reads_what_nothing_else_does(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(b"\0\1\2")
    (tmp_path / "b.md").write_text("plain", "utf-8")
    command = f"{sys.executable} -c \"print('transmogrified text')\""
    words = ("index", "a.xyz", "b.md", "--no-embed", "--db", "i.db", "--json")
    run = qrank(*words, "--pre", command, "--pre-glob", "*.xyz")
    assert run.json()["files"]["added"] == 2
    hits = qrank("search", "transmogrified", "--mode", "bm25", "--db", "i.db", "--jsonl").lines()
    assert [Path(hit["path"]).name for hit in hits] == ["a.xyz"]
    failing = qrank(*words, "--pre", "false")
    assert "false exited with status 1" in failing.stderr


TEXTS = st.lists(
    st.sampled_from(
        ["# A\n", "---\n", "a: [b\n", "+++\n", "|a|b|\n", '"', ",", ";", "\t", '{"text": "', "}\n"]
        + [
            "[",
            "=====\n",
            "```\n",
            "- x\n",
            "  ",
            "> q\n",
            "\r",
            "\f",
            "é",
            "\u2028",
            ".. x::\n",
            "<!--",
        ]
    )
    | st.text(max_size=20)
).map("".join)


@settings(max_examples=FUZZ, deadline=None, derandomize=True)
@given(
    data=st.binary(max_size=500) | TEXTS.map(str.encode) | TEXTS.map(lambda t: t.encode("utf-16")),
    suffix=st.sampled_from(["txt", "md", "rst", "csv", "tsv", "jsonl", "unknown"]),
)
def test_any_bytes_are_read_or_refused(data: bytes, suffix: str) -> None:
    """What is read without a worker process raises nothing that would end the run."""
    with suppress(ExtractError, NoTextError):
        for document in documents(io.BytesIO(data), f"a.{suffix}"):
            for new in new_chunks(document, "a", "a", "english", f"a.{suffix}"):
                new.chunk.text.encode("utf-8")


def mutated(data: bytes, random_: random.Random) -> bytes:
    """A damaged copy: bytes flipped, stretches cut out, doubled or overwritten, the end lost."""
    made = bytearray(data)
    for _ in range(random_.randint(1, 8)):
        at = random_.randrange(max(1, len(made)))
        length = random_.randint(1, 64)
        kind = random_.randrange(5)
        if kind == 0 and made:
            made[at % len(made)] ^= 1 << random_.randrange(8)
        elif kind == 1:
            del made[at : at + length]
        elif kind == 2:
            made[at:at] = made[at : at + length]
        elif kind == 3:
            made[at : at + length] = random_.randbytes(length)
        else:
            del made[max(1, len(made) - length) :]
    return bytes(made)


def test_damaged_copies_of_real_files_do_no_harm(qrank: Qrank, tmp_path: Path) -> None:
    """QRANK_FUZZ sets how many copies, and another number makes others."""
    count = FUZZ
    a_suffix = {path.suffix: path for path in sorted(SAMPLE.rglob("*.*"), reverse=True)}
    sources = [*sorted(FILES.iterdir()), *a_suffix.values()]
    random_ = random.Random(count)
    folder = tmp_path / "fuzz"
    folder.mkdir()
    for i in range(count):
        source = sources[i % len(sources)]
        (folder / f"{i:05}{''.join(source.suffixes)}").write_bytes(
            mutated(source.read_bytes(), random_)
        )
    run = qrank("index", "fuzz", "--no-embed", "--db", "i.db", "--json", "--timeout", "10")
    files = run.json()["files"]
    assert sum(files.values()) == count
    assert files["added"] > 0
    for problem in run.json()["errors"]:
        assert "longer than" not in problem["reason"], problem
        assert "crashed" not in problem["reason"], problem
    with closing(sqlite3.connect(tmp_path / "i.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert qrank("search", "garden pump", "--mode", "bm25", "--db", "i.db").returncode == 0


def test_workers_start_only_for_what_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    real = readers._Process.__init__
    monkeypatch.setattr(
        readers._Process, "__init__", lambda self, r: (started.append(1), real(self, r))[1]
    )
    (tmp_path / "a.md").write_text("x", "utf-8")
    (tmp_path / "b.html").write_text("<p>x</p>", "utf-8")
    list(read_all([Task(str(tmp_path / "a.md"), Signature(1, 0))], Reading()))
    assert not started
    list(read_all([Task(str(tmp_path / "b.html"), Signature(8, 0))], Reading()))
    assert started
