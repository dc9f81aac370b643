"""Running one command of a client, in a fork of the warm process with the client's working folder,
environment and standard streams. The fork exits after the command."""

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
from pathlib import Path

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

MOST = 64 << 20  # bytes of a request
REQUEST_SECONDS = 10.0  # timeout for receiving a request
GRACE = 2.0  # seconds between SIGTERM and exit, after the client has gone


class _DeclinedError(Exception):
    """The client has to run the command itself, with the reason."""


def answer(
    connection: socket.socket, identity: str, prepare: Callable[[], str], run: Callable[[], int]
) -> None:
    """Receive a command from a connection, run it, and send its exit status.

    identity: this process's own, which the client's has to equal. prepare is called with the
    client's environment, and returns "" or the reason to decline. run is called with sys.argv and
    the standard streams set, and returns the exit status.
    """
    connection.settimeout(REQUEST_SECONDS)
    if places.peer(connection) != os.geteuid():
        return
    try:
        connection.sendall(HELLO)
        fields, streams = _receive(connection)
    except (OSError, ValueError):
        return
    try:
        _apply(fields, identity)
        if reason := prepare():
            raise _DeclinedError(reason)
    except (_DeclinedError, OSError, ValueError) as error:
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


def _apply(fields: list[bytes], identity: str) -> None:
    """Set the client's working folder, session, umask, arguments and environment in this process.
    Raises _DeclinedError when the client has another installation or root folder."""
    client_identity, folder, inodes, session, mask, count, *rest = fields
    if client_identity.decode("utf-8", "replace") != identity:
        raise _DeclinedError("it is another version or installation; qrank serve stop ends it")
    os.chdir(folder)
    here, root = os.stat("."), os.stat("/")
    if inodes != f"{here.st_dev} {here.st_ino} {root.st_dev} {root.st_ino}".encode():
        raise _DeclinedError("it sees other files")  # for instance, one of them is in a container
    places.client_session = int(session)
    os.umask(int(mask))
    sys.argv = ["qrank", *map(os.fsdecode, rest[: int(count)])]
    pairs = [pair.partition(b"=") for pair in rest[int(count) :] if pair]
    os.environ.clear()
    os.environb.update({name: value for name, _, value in pairs})
    time.tzset()


def _watch(connection: socket.socket, done: threading.Event) -> None:
    """Raise the signals that the client forwards in the main thread; exit when the client has
    gone."""
    signals = {INTERRUPT: signal.SIGINT, TERMINATE: signal.SIGTERM}
    # Only the main thread may get them, so that a blocking read there is interrupted; after a stop
    # the kernel may deliver them to any thread.
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


def _wait_stopped(pid: int) -> None:
    """Wait until all threads of a process that was sent SIGSTOP are stopped, a second at most: on a
    busy machine one may go on for a while, and could still read stdin. Only Linux tells."""
    for _ in range(1000):
        states = Path(f"/proc/{pid}/task").glob("*/stat")
        # PID (NAME) STATE ...; the name may hold brackets. See proc_pid_stat(5).
        if all(each.read_bytes().rpartition(b") ")[2][:1] == b"T" for each in states):
            return
        time.sleep(0.001)


def _pause(connection: socket.socket) -> None:
    """Stop this process until the client continues or has gone.

    A stopped process can't continue itself, so a fork does that.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)  # it is stopped here
        return
    try:
        os.kill(parent, signal.SIGSTOP)
        _wait_stopped(parent)
        connection.sendall(PAUSED)
        select.select([connection], [], [])
    finally:
        if os.getppid() == parent:
            os.kill(parent, signal.SIGCONT)
        os._exit(0)
