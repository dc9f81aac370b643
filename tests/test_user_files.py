"""The user's files: only files that qrank wrote are overwritten; replacing one is atomic and keeps
its permissions; no other file beside it is touched."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
from support import COMMAND, PARITY, Run, complaint, read_only

from qrank import files

Qrank = Callable[..., Run]
BATCH = ("search", "--queries", "q.txt", "--mode", "bm25", "--db", "i.db", "--resume")


@pytest.fixture
def notes(qrank: Qrank, tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("A kestrel hovers over the tea.\n", "utf-8")
    (tmp_path / "q.txt").write_text("kestrel\ntea\n", "utf-8")
    assert qrank("index", "notes", "--no-embed", "--db", "i.db").returncode == 0
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith("i.db")}


@pytest.mark.parametrize(
    "held",
    [
        b"my notes, without an end of line",
        b"my notes\n",
        b"\n",
        b"{",
        b'{"id": 1, "query": "tea"}\n',  # queries, not answers
        b'{"id": 1, "query": "tea"}',
        b'{"query": "tea", "results": []}\n',  # another program's
        b"\x00\xff" * 1000,
        b"[" * 100_000,
    ],
)
def test_resume_leaves_what_is_no_answer_as_it_is(qrank: Qrank, notes: Path, held: bytes) -> None:
    file = notes / "mine.txt"
    file.write_bytes(held)
    assert "mine.txt, line 1: not an answer of qrank search --queries" in complaint(
        qrank(*BATCH, "mine.txt")
    )
    assert file.read_bytes() == held
    # Nor does it matter what stands below answers of ours.
    qrank(*BATCH, "out.jsonl")
    answers = (notes / "out.jsonl").read_bytes()
    if held.startswith(b"{") and not held.endswith(b"\n"):
        return  # which is what an interrupted run leaves there
    file.write_bytes(answers + held)
    assert "mine.txt, line 3: not an answer" in complaint(qrank(*BATCH, "mine.txt"))
    assert file.read_bytes() == answers + held


def test_resume_goes_on_after_a_line_that_was_cut_off(qrank: Qrank, notes: Path) -> None:
    qrank(*BATCH, "out.jsonl")
    out = notes / "out.jsonl"
    first, second = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(first + second[:40])
    assert qrank(*BATCH, "out.jsonl").returncode == 0
    again = out.read_bytes().splitlines(keepends=True)
    assert again[0] == first
    assert json.loads(again[1])["query"] == "tea"


def test_an_export_takes_no_other_name(qrank: Qrank, notes: Path) -> None:
    (notes / "all.jsonl.part").write_text("mine", "utf-8")
    before = names(notes)
    assert qrank("export", "all.jsonl", "--db", "i.db").returncode == 0
    assert (notes / "all.jsonl.part").read_text("utf-8") == "mine"
    assert names(notes) == before | {"all.jsonl"}
    # One that fails leaves what was there, and nothing else.
    whole = (notes / "all.jsonl").read_bytes()
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]
    assert "can't write all.jsonl: file too large" in complaint(
        qrank("export", "all.jsonl", "--db", "i.db", prefix=limited)
    )
    assert (notes / "all.jsonl").read_bytes() == whole
    assert names(notes) == before | {"all.jsonl"}


def test_an_export_has_the_permissions_it_should(qrank: Qrank, notes: Path) -> None:
    export = ("export", "all.jsonl", "--db", "i.db")
    qrank(*export, prefix=["sh", "-c", 'umask 027; exec "$@"', "sh"])
    assert mode(notes / "all.jsonl") == 0o640
    (notes / "all.jsonl").chmod(0o604)
    qrank(*export)
    assert mode(notes / "all.jsonl") == 0o604
    (notes / "deep").mkdir()
    (notes / "deep" / "all.jsonl").write_text("kept", "utf-8")
    (notes / "deep" / "all.jsonl").chmod(0o444)
    with read_only(notes / "notes") as prefix:
        run = qrank("export", "deep/all.jsonl", "--db", "i.db", prefix=prefix)
    assert "can't write deep/all.jsonl: permission denied" in complaint(run)
    assert (notes / "deep" / "all.jsonl").read_text("utf-8") == "kept"


def test_an_export_goes_through_links_and_into_devices(
    qrank: Qrank, notes: Path, environment: dict[str, str]
) -> None:
    wanted = qrank("export", "-", "--db", "i.db").stdout
    (notes / "far").mkdir()
    (notes / "link.jsonl").symlink_to("far/real.jsonl")
    for _ in ("new", "there"):
        assert qrank("export", "link.jsonl", "--db", "i.db").returncode == 0
        assert (notes / "link.jsonl").is_symlink()
        assert (notes / "far" / "real.jsonl").read_text("utf-8") == wanted
    assert qrank("export", "/dev/stdout", "--db", "i.db").stdout == wanted
    appended = ["sh", "-c", 'echo first > out; exec "$@" >> out', "sh"]
    qrank("export", "/dev/stdout", "--db", "i.db", prefix=appended)
    assert (notes / "out").read_text("utf-8") == "first\n" + wanted
    assert qrank("export", "/dev/null", "--db", "i.db").returncode == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert "no space left" in complaint(qrank("export", "/dev/full", "--db", "i.db"))
    os.mkfifo(notes / "fifo")
    words = [COMMAND, "export", "fifo", "--db", "i.db"]
    with subprocess.Popen(words, cwd=notes, env=environment) as run:
        assert (notes / "fifo").read_text("utf-8") == wanted
    assert run.returncode == 0
    assert stat.S_ISFIFO((notes / "fifo").stat().st_mode)
    (notes / "loop").symlink_to("loop")
    assert "can't write loop" in complaint(qrank("export", "loop", "--db", "i.db"))
    assert "can't write far: is a directory" in complaint(qrank("export", "far", "--db", "i.db"))


def test_settings_keep_their_link_and_permissions(qrank: Qrank, tmp_path: Path) -> None:
    config = Path(qrank("config", "path").stdout.strip())
    config.parent.mkdir(parents=True)
    real = tmp_path / "dotfiles.toml"
    real.write_text("# mine\n", "utf-8")
    real.chmod(0o600)
    config.symlink_to(real)
    assert qrank("config", "set", "threads", "2").returncode == 0
    assert config.is_symlink()
    assert real.read_text("utf-8") == "# mine\nthreads = 2\n"
    assert mode(real) == 0o600
    assert [path.name for path in config.parent.iterdir()] == [config.name]
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]
    assert "can't write" in complaint(qrank("config", "set", "threads", "3", prefix=limited))
    assert real.read_text("utf-8") == "# mine\nthreads = 2\n"


def test_a_model_file_is_made_beside_files_of_any_name(qrank: Qrank, tmp_path: Path) -> None:
    shutil.copy(PARITY / "embed.gguf", tmp_path / "in.gguf")
    for name in ("out.gguf.part", "out.gguf.whole"):
        (tmp_path / name).write_text("mine", "utf-8")
    assert qrank("models", "quantize", "in.gguf", "out.gguf").returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        *("in.gguf", "out.gguf", "out.gguf.part", "out.gguf.whole")
    }
    assert (tmp_path / "out.gguf.part").read_text("utf-8") == "mine"
    whole = (tmp_path / "out.gguf").read_bytes()
    run = qrank("models", "quantize", "in.gguf", "out.gguf")
    assert "out.gguf exists already" in complaint(run)
    assert (tmp_path / "out.gguf").read_bytes() == whole


def test_init_makes_the_index_that_is_named(qrank: Qrank, tmp_path: Path) -> None:
    assert qrank("init", "--db", "deep/x.db").stdout == f"Created {tmp_path / 'deep' / 'x.db'}\n"
    assert qrank("init", QRANK_DB="y.db").stdout == f"Created {tmp_path / 'y.db'}\n"
    assert qrank("init", "--db", "z.db", QRANK_DB="y.db").stdout == f"Created {tmp_path / 'z.db'}\n"
    for db in ("deep/x.db", "y.db", "z.db"):
        assert qrank("status", "--db", db).returncode == 0
    assert not (tmp_path / ".qrank").exists()
    assert qrank("init", "--db", "z.db").stdout.startswith("Already exists: ")
    assert qrank("init").stdout == f"Created {tmp_path / '.qrank' / 'index.db'}\n"
    assert qrank("config", "set", "db", "own.db").returncode == 0
    assert qrank("init").stdout == f"Created {tmp_path / 'own.db'}\n"


def test_two_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    script = (
        f"from qrank import files; from pathlib import Path; files.write_text(Path({str(path)!r}), "
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", f"{script}{digit!r} * 1_000_000)"])
        for digit in "1234"
    ]
    assert [run.wait(timeout=120) for run in runs] == [0] * 4
    assert path.read_text("utf-8") in {digit * 1_000_000 for digit in "1234"}
    assert [found.name for found in tmp_path.iterdir()] == ["f"]


def test_what_fails_while_it_is_written_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old", "utf-8")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as part:
        part.write_text("new", "utf-8")
        raise KeyboardInterrupt
    assert path.read_text("utf-8") == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["f"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere platformdirs is asked")
@pytest.mark.parametrize("kind", ["cache", "config", "data", "state"])
@pytest.mark.parametrize("named", [None, "", "relative", "/of/the user"])
@pytest.mark.parametrize("home", ["/home/a", "/home/a/", "/"])
def test_the_users_folders_are_where_platformdirs_says(
    monkeypatch: pytest.MonkeyPatch, kind: str, named: str | None, home: str
) -> None:
    variable = f"XDG_{kind.upper()}_HOME"
    monkeypatch.setenv("HOME", home)
    if named is None:
        monkeypatch.delenv(variable, raising=False)
    else:
        monkeypatch.setenv(variable, named)
    theirs = getattr(platformdirs, f"user_{kind}_path")("qrank", appauthor=False)
    assert files.user_folder(kind) == theirs
