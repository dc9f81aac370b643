"""Index runs that are killed (the short form of crash.py), a full disk, two runs at once."""

from __future__ import annotations

import os
import random
import resource
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from crash import (
    assert_completed,
    assert_sound,
    cut_power_at_random,
    kill_at_random,
    make_tree,
    start,
)
from support import COMMAND, Run, clean_environment, complaint, wait_until

import qrank
from qrank.errors import IndexFileError
from qrank.store import open_store
from qrank.store.filters import EVERYTHING


def test_a_run_can_be_killed_at_any_moment(tmp_path: Path) -> None:
    held = kill_at_random(tmp_path, 6, random.Random(1))
    assert len(held) == 6
    assert any(held)


def test_power_can_fail_at_any_moment(tmp_path: Path) -> None:
    assert len(cut_power_at_random(tmp_path, 5, random.Random(2))) == 5


def test_a_limit_on_files_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    folder, db = tmp_path / "notes", tmp_path / "i.db"
    make_tree(folder, 0)
    limit = (1 << 20, 1 << 20)  # bytes
    said = failed_run(
        folder, db, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    )
    assert "whether its disk is full" in said
    assert_sound(db)
    assert_completed(folder, db)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    folder, disk = tmp_path / "notes", tmp_path / "disk"
    make_tree(folder, 0)
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        assert "no space left" in failed_run(folder, disk / "i.db")
        assert_sound(disk / "i.db")
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        assert_completed(folder, disk / "i.db")
    finally:
        subprocess.run(["umount", disk], check=True)


def failed_run(folder: Path, db: Path, **options: Any) -> str:
    """What a run that can't end well says, which is one line."""
    words = [COMMAND, "index", folder, "--db", db, "--threads", "1", "--quiet"]
    environment = clean_environment(folder.parent)
    run = subprocess.run(
        words, env=environment, capture_output=True, text=True, check=False, **options
    )
    return complaint(Run((), run.returncode, run.stdout, run.stderr))


def test_who_can_t_write_is_told_who_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qrank.store.connection.BUSY_SECONDS", 0.2)
    with (
        open_store(tmp_path / "i.db", write=True) as writer,
        open_store(tmp_path / "i.db", write=True) as other,
        writer.transaction(),
        pytest.raises(IndexFileError, match="in use by another qrank") as error,
        other.transaction(),
    ):
        pass
    if Path("/proc/locks").exists():
        assert f"(process {os.getpid()})" in str(error.value)


def test_a_second_run_waits_for_a_short_transaction(
    qrank: Callable[..., Run], tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "a.md").write_text("Tea.", "utf-8")
    qrank("init")
    db = tmp_path / ".qrank" / "index.db"
    words = [COMMAND, "index", "a.md", "--no-embed"]
    with open_store(db, write=True) as writer, writer.transaction():
        run = subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
        wait_until(lambda: opened(run.pid, db), run)
    assert run.communicate(timeout=120)[0].startswith(b"1 added")
    assert run.returncode == 0


def opened(process: int, file: Path) -> bool:
    """Whether a process has a file open; where the system does not tell, it is taken to have."""
    folder = Path(f"/proc/{process}/fd")
    if not Path("/proc/self/fd").exists():
        return True
    for link in folder.iterdir():
        with suppress(OSError):  # closed meanwhile
            if link.readlink() == file:
                return True
    return False


def test_a_reader_sees_whole_files_while_a_run_goes_on(tmp_path: Path) -> None:
    """Every file has 12 chunks with its number: a search for a number finds all of them or none."""
    folder, db = tmp_path / "notes", tmp_path / "i.db"
    folder.mkdir()
    for i in range(600):
        text = "\n\n".join(f"## Part {j}\n\nnumber{i} " + "and more " * 150 for j in range(12))
        (folder / f"{i}.md").write_text(text, "utf-8")
    qrank.Index(db).create()
    run = start(folder, db, embed=False)  # which commits often
    seen: set[int] = set()
    held: set[int] = set()
    with open_store(db) as reader:
        while run.is_alive():
            i = len(held) % 600
            hits = reader.bm25([f"number{i}"], 1000, EVERYTHING)
            seen.add(len(hits))
            held.add(reader.count_chunks())
    assert run.exitcode == 0
    with open_store(db) as reader:
        whole = len(reader.bm25(["number0"], 1000, EVERYTHING))
        assert whole >= 12
        assert seen <= {0, whole}
        assert len(held) > 3  # it was searched while it grew
        assert all(count % whole == 0 for count in held)
