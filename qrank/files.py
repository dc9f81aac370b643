"""Writing a file whole or not at all: beside its place first, then renamed onto it."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def reason(error: OSError) -> str:
    """What went wrong, for a sentence: "permission denied"."""
    return (error.strerror or str(error)).lower()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new empty file in path's folder; it takes path's place unless an exception comes.

    A file that was there keeps its permissions, and a symlink is followed. What is no regular file
    (a device, a FIFO) is yielded itself. Raises OSError.
    """
    # Other than resolve(), which fails for a loop in its own way.
    target = Path(os.path.realpath(path))
    old = _look(path)
    if old is not None:
        if stat.S_ISDIR(old.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(old.st_mode):
            yield path
            return
        if not os.access(target, os.W_OK):  # renaming would not ask
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    part = target.with_name(f".qrank-{secrets.token_hex(8)}.part")
    try:
        # Not tempfile's: that makes it for this user alone, whatever the umask and ACLs say.
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        yield part
        _finish(part, old)
        os.replace(part, target)  # noqa: PTH105
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _look(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _finish(part: Path, old: os.stat_result | None) -> None:
    """Write a file through to the disk, with the owner and the permissions of an old one."""
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())
    if old is not None:
        if hasattr(os, "chown"):
            with suppress(OSError):  # only root may give files away
                os.chown(part, old.st_uid, old.st_gid)
        part.chmod(stat.S_IMODE(old.st_mode))


def write_text(path: Path, text: str) -> None:
    """Write a file as UTF-8, whole or not at all, making its folder. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="replace", newline="")
