"""qrank's own folders of the user, and writing a file atomically: to a temporary file in the same
folder, which then replaces it."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LINUX = {"cache": ".cache", "config": ".config", "data": ".local/share", "state": ".local/state"}


def user_folder(kind: str) -> Path:
    """qrank's folder of this user, as platformdirs names it. kind: cache, config, data, state."""
    if sys.platform == "linux":  # importing platformdirs takes 4 ms, which every command would need
        named = os.environ.get(f"XDG_{kind.upper()}_HOME", "")
        usual = os.path.expanduser(f"~/{_LINUX[kind]}")  # noqa: PTH111  (never raises)
        for base in (Path(named), Path(usual)):
            if base.is_absolute():
                return base / "qrank"
    import platformdirs

    return Path(getattr(platformdirs, f"user_{kind}_path")("qrank", appauthor=False))


def reason(error: OSError) -> str:
    """The text of an error for use in a message, such as "permission denied"."""
    return (error.strerror or str(error)).lower()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new empty file in path's folder, which replaces path at the end, unless there was an
    exception.

    Permissions of an existing file are kept, and symlinks are followed. A path that is not a
    regular file (a device, a FIFO) is yielded itself. Raises OSError.
    """
    # Not Path.resolve(), which raises RuntimeError for a loop of symlinks.
    target = Path(os.path.realpath(path))
    old = _look(path)
    if old is not None:
        if stat.S_ISDIR(old.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(old.st_mode):
            yield path
            return
        if not os.access(target, os.W_OK):  # renaming does not check this
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    part = target.with_name(f".qrank-{os.urandom(8).hex()}.part")
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
    """Flush a file to disk, and give it the owner and permissions of the old one."""
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())
    if old is not None:
        if hasattr(os, "chown"):
            with suppress(OSError):  # only root may change the owner
                os.chown(part, old.st_uid, old.st_gid)
        part.chmod(stat.S_IMODE(old.st_mode))


def write_text(path: Path, text: str) -> None:
    """Write a file atomically, in UTF-8; its folder is created if needed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="replace", newline="")
