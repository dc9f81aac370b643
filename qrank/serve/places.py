"""The sockets of the warm process, and checks of who is at the other end.

The client imports this before every command, so it needs next to nothing: no socket, no typing.
"""

from __future__ import annotations

import _socket
import os
import sys

import qrank

PROTOCOL = 1  # of what client and server say to each other
NAME = f"qrank-{qrank.__version__}-{PROTOCOL}"  # another version finds nothing, and starts its own
LONGEST = 100  # bytes of a socket's path that every system takes


def folder() -> str:
    """The user's folder for sockets."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime):
        return os.path.join(runtime, "qrank")
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Caches/qrank/run")
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(caches, "qrank", "run")


def fault(place: str) -> str:
    """What is wrong with a folder for sockets: it must be this user's, and closed to all others.
    Empty when nothing is."""
    try:
        status = os.lstat(place)
    except OSError as error:
        return f"{place}: {error.strerror}"
    if status.st_mode & 0o170000 != 0o040000:
        return f"{place} is no folder"
    if status.st_uid != os.geteuid():
        return f"{place} belongs to another user"
    if status.st_mode & 0o077:
        return f"{place} is open to other users"
    return ""


def identity() -> str:
    """What a command's answer depends on beside what it is asked: the program that gives it."""
    package = os.path.dirname(os.path.abspath(qrank.__file__))
    changed = os.stat(os.path.join(package, "__init__.py")).st_mtime_ns
    return f"{package} {changed} {sys.prefix} {sys.hexversion:x} {sys.getfilesystemencoding()}"


def peer(connection: _socket.socket) -> int:
    """The user at the other end of a socket."""
    if sys.platform == "darwin":
        # struct xucred: its version, then the user's number.
        credentials = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED
        return int.from_bytes(credentials[4:8], sys.byteorder)
    credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)  # struct ucred
    return int.from_bytes(credentials[4:8], sys.byteorder)


def connect(name: str, seconds: float) -> _socket.socket:
    """A connection to a socket of this user's in the folder. Raises OSError when there is none, or
    who listens is another user."""
    place = folder()
    if wrong := fault(place):
        raise OSError(wrong)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        path = os.path.join(place, name)
        if len(os.fsencode(path)) <= LONGEST:
            connection.connect(path)
        else:
            _connect_from(place, name, connection)
        if peer(connection) != os.geteuid():
            raise OSError("another user's process listens there")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_from(place: str, name: str, connection: _socket.socket) -> None:
    """Connect by a name that is relative, because the whole path is too long for a socket."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(place)
        connection.connect(name)
    finally:
        os.fchdir(here)
        os.close(here)
