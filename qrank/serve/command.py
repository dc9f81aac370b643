"""One command of one client, run in a process of its own: a fork of the warm process that takes on
the client's folder, environment and standard streams, and ends with the command."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from qrank.serve import places, wire
from qrank.serve.client import (
    ACCEPTED,
    DECLINED,
    DONE,
    HELLO,
    INTERRUPT,
    PAUSE,
    PAUSED,
    TERMINATE,
)

MOST = 64 << 20  # bytes of arguments and environment
PATIENCE = 10.0  # seconds for a request to come
GRACE = 2.0  # seconds to end in, when the client has gone


class _Declined(Exception):
    """The client is to run the command itself; why."""


def answer(
    connection: socket.socket, identity: str, prepare: Callable[[], str], run: Callable[[], int]
) -> None:
    """Run the command that comes over a connection.

    prepare is called as the client: it says why the client should run the command itself, if it
    should. run is called with sys.argv and the standard streams set.
    """
    connection.settimeout(PATIENCE)
    if places.peer(connection) != os.geteuid():
        return
    try:
        connection.sendall(HELLO)
        fields, streams = _receive(connection)
    except (OSError, ValueError):
        return
    try:
        _become(fields, identity)
        if reason := prepare():
            raise _Declined(reason)
    except (_Declined, OSError, ValueError) as error:
        connection.sendall(DECLINED + str(error).encode("utf-8", "replace"))
        return
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    connection.settimeout(None)
    connection.sendall(ACCEPTED)
    done = threading.Event()
    threading.Thread(target=_watch, args=(connection, done), daemon=True).start()
    status = run()
    done.set()
    with suppress(OSError):
        connection.sendall(DONE + bytes([status & 0xFF]))


def _receive(connection: socket.socket) -> tuple[list[bytes], list[int]]:
    head, streams, _flags, _address = socket.recv_fds(connection, 8, 3)
    head += wire.exactly(connection, 8 - len(head))
    length = int.from_bytes(head, "big")
    if len(streams) != 3 or length > MOST:
        raise ValueError("not a request")
    return wire.exactly(connection, length).split(b"\0"), streams


def _become(fields: list[bytes], identity: str) -> None:
    """Take on what the client has: its folder, environment, arguments, and mask for new files."""
    theirs, folder, inodes, mask, count, *rest = fields
    if theirs.decode("utf-8", "replace") != identity:
        raise _Declined("it is another version or installation; qrank serve stop ends it")
    os.chdir(folder)
    here, root = os.stat("."), os.stat("/")
    if inodes != f"{here.st_dev} {here.st_ino} {root.st_dev} {root.st_ino}".encode():
        raise _Declined("it sees other files")  # it runs outside of a container, say
    os.umask(int(mask))
    sys.argv = ["qrank", *map(os.fsdecode, rest[: int(count)])]
    pairs = [pair.partition(b"=") for pair in rest[int(count) :] if pair]
    os.environ.clear()
    os.environb.update({name: value for name, _, value in pairs})
    time.tzset()


def _watch(connection: socket.socket, done: threading.Event) -> None:
    """Hand on the signals that the client got; end when it has gone."""
    signals = {INTERRUPT: signal.SIGINT, TERMINATE: signal.SIGTERM}
    # The main thread has to get them, or it waits on in what it was reading: after a stop the
    # system may give them to any thread.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.values())
    main = threading.main_thread().ident or 0
    while True:
        select.select([connection], [], [])
        try:
            message = connection.recv(1)
        except OSError:
            message = b""
        if not message:
            break
        if message in signals:
            signal.pthread_kill(main, signals[message])
        elif message == PAUSE:
            _pause(connection)
    if done.is_set():
        return
    signal.pthread_kill(main, signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


def _pause(connection: socket.socket) -> None:
    """Stand still, all threads of this process, until the client goes on or has gone.

    A process that is stopped can't continue itself, so a fork does that.
    """
    stopped = os.getpid()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)  # stopped in here
        return
    try:
        os.kill(stopped, signal.SIGSTOP)
        connection.sendall(PAUSED)
        select.select([connection], [], [])
    finally:
        if os.getppid() == stopped:
            os.kill(stopped, signal.SIGCONT)
        os._exit(0)
