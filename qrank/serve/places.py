"""The folder and names of the warm process's sockets, and connecting to them safely.

The client imports this before every command, so it hardly imports anything: no socket, no typing.
"""

from __future__ import annotations

import _socket
import os
import sys

import qrank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PROTOCOL = 2  # the version of the messages between client and server
NAME = f"qrank-{qrank.__version__}-{PROTOCOL}"  # each version has its own sockets
LONGEST = 100  # bytes of a socket's path that every system allows
client_session = 0  # of the client whose command this process runs; 0: it is its own command


def folder() -> str:
    """The user's folder for sockets."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime):
        return os.path.join(runtime, "qrank")
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Caches/qrank/run")
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(caches, "qrank", "run")


def session() -> int:
    """The session in which the command was typed: each window of a terminal has its own."""
    if client_session or not hasattr(os, "getsid"):
        return client_session or os.getppid()
    return os.getsid(0)


def problem(place: str) -> str:
    """Why a folder can't be used for sockets: it must be this user's, and not accessible by
    others. "" when it can be used."""
    try:
        status = os.lstat(place)
    except OSError as error:
        return f"{place}: {error.strerror}"
    if status.st_mode & 0o170000 != 0o040000:
        return f"{place} is not a folder"
    if status.st_uid != os.geteuid():
        return f"{place} belongs to another user"
    if status.st_mode & 0o077:
        return f"{place} is open to other users"
    return ""


def identity() -> str:
    """What identifies this installation of qrank and Python: client and server must have the
    same, or a command's output could differ."""
    package = os.path.dirname(os.path.abspath(qrank.__file__))
    changed = os.stat(os.path.join(package, "__init__.py")).st_mtime_ns
    return f"{package} {changed} {sys.prefix} {sys.hexversion:x} {sys.getfilesystemencoding()}"


def peer(connection: _socket.socket) -> int:
    """The user id of the process at the other end of a socket."""
    if sys.platform == "darwin":
        # struct xucred: its version, then the user id.
        credentials = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED
        return int.from_bytes(credentials[4:8], sys.byteorder)
    credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)  # struct ucred
    return int.from_bytes(credentials[4:8], sys.byteorder)


def connect(name: str, seconds: float) -> _socket.socket:
    """Connect to a socket in the folder; seconds: the timeout of the connection. Raises OSError
    when there is none, or another user's process listens."""
    place = folder()
    if reason := problem(place):
        raise OSError(reason)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        path = os.path.join(place, name)
        if len(os.fsencode(path)) <= LONGEST:
            connection.connect(path)
        else:
            with_short_path(place, lambda short: connection.connect(f"{short}/{name}"))
        if peer(connection) != os.geteuid():
            raise OSError("another user's process listens there")
    except BaseException:
        connection.close()
        raise
    return connection


def with_short_path(place: str, use: Callable[[str], None]) -> None:
    """Call use with a path of the folder that is short enough for its sockets.

    On Linux that is a link of /proc. Elsewhere the folder becomes the working folder meanwhile,
    which other threads notice.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY
    opened = os.open(place, flags)
    try:
        link = f"/proc/self/fd/{opened}"
        if os.path.isdir(link):
            use(link)
            return
        here = os.open(".", flags)
        try:
            os.fchdir(opened)
            use(".")
        finally:
            os.fchdir(here)
            os.close(here)
    finally:
        os.close(opened)
