"""The command line's side of the warm process: hand a command over, and wait for its exit status.

The process that runs the command gets this one's own stdin, stdout and stderr: it reads and writes
them itself, so that not a byte differs. Here next to nothing is imported: that is what makes it
quick. Before the command has begun, whatever fails leads back to running it here.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself imports enum: 3 ms
import _socket
import os
import sys

SERVED = ("search", "rerank", "embed", "similar", "get")
COMMANDS, CONTROL = ".sock", ".control"  # ends of the sockets' names
HELLO, ACCEPTED, DECLINED, DONE = b"H", b"A", b"D", b"S"
INTERRUPT, TERMINATE = b"I", b"T"
PAUSE, PAUSED, CONTINUE = b"Z", b"P", b"C"  # on Ctrl-Z; when the command stands still; on fg
SECONDS = 1.0  # to the first byte

_WITH_VALUE = ("--db", "--color")
_FLAGS = ("-q", "--quiet", "-v", "--verbose", "--debug")


class _Here(Exception):
    """The command is to run in this process; why."""


def run(arguments: list[str]) -> int | None:
    """The exit status of a command that the warm process has run; None when there is none that
    would: then nothing has happened, and it is to run here."""
    if os.name != "posix" or not is_served(arguments):
        return None
    try:
        return _run(arguments)
    except (_Here, OSError) as error:
        options = arguments[: arguments.index("--")] if "--" in arguments else arguments
        if "--debug" in options:
            reason = str(error) or type(error).__name__
            print(f"qrank: not run by the warm process: {reason}", file=sys.stderr)
        return None


def is_served(arguments: list[str]) -> bool:
    """Whether a command is one that the warm process runs, and nothing asks for it to run here."""
    if os.environ.get("QRANK_SERVE") == "off" or "_QRANK_COMPLETE" in os.environ:
        return False
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        if arguments[at] in _WITH_VALUE:
            at += 1
        elif arguments[at] not in _FLAGS and not arguments[at].startswith(_EQUALS):
            return False
        at += 1
    if arguments[at : at + 1] == [] or arguments[at] not in SERVED:
        return False
    for argument in arguments[at + 1 :]:
        if argument == "--":
            break
        short = argument.startswith("-") and not argument.startswith("--")
        # The search as you type takes the terminal over.
        if argument in ("--no-serve", "--interactive") or (short and "i" in argument):
            return False
    return True


_EQUALS = tuple(f"{name}=" for name in _WITH_VALUE)


def _run(arguments: list[str]) -> int:
    from qrank.serve import places

    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            raise _Here("a standard stream is closed") from None
    if os.isatty(0) and _reads_stdin(arguments):
        # In the background another process would take from the terminal what the shell is to get.
        raise _Here("it reads from the terminal")
    request = _request(arguments, places.identity())
    try:
        connection = places.connect(places.NAME + COMMANDS, SECONDS)
    except (FileNotFoundError, ConnectionRefusedError):
        raise _Here("none is running") from None
    try:
        try:
            if connection.recv(1) != HELLO:
                raise _Here("it ended")
        except TimeoutError:
            raise _Here("it does not answer") from None
        connection.settimeout(None)
        streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)]
        connection.sendmsg([len(request).to_bytes(8, "big")], rights)
        connection.sendall(request)
        return _status(connection)
    finally:
        connection.close()


def _reads_stdin(arguments: list[str]) -> bool:
    """Whether a command may read from stdin."""
    return "-" in arguments or any(name in arguments for name in ("rerank", "embed"))


def _request(arguments: list[str], identity: str) -> bytes:
    """The command, and all of this process that its answer depends on."""
    try:
        folder, here, root = os.getcwdb(), os.stat("."), os.stat("/")
    except OSError:
        raise _Here("the working folder no longer exists") from None
    mask = os.umask(0o077)
    os.umask(mask)
    inodes = f"{here.st_dev} {here.st_ino} {root.st_dev} {root.st_ino}"
    head = [identity.encode(), folder, inodes.encode(), b"%d" % mask, b"%d" % len(arguments)]
    environment = [name + b"=" + value for name, value in os.environb.items()]
    return b"\0".join([*head, *map(os.fsencode, arguments), *environment])


def _send(connection: _socket.socket, message: bytes) -> None:
    """Send a message to the process that runs the command. Where that has just ended, its status
    is there to be read."""
    try:
        connection.send(message)
    except OSError:
        return


def _status(connection: _socket.socket) -> int:
    """Wait for the exit status; signals that come meanwhile go to the process that runs the
    command."""
    messages = {
        _signal.SIGINT: INTERRUPT,
        _signal.SIGTERM: TERMINATE,
        _signal.SIGTSTP: PAUSE,
    }

    def forward(number: int, _frame: object) -> None:
        _send(connection, messages[number])

    before = {number: _signal.getsignal(number) for number in messages}
    for number, handler in before.items():
        if handler != _signal.SIG_IGN:
            _signal.signal(number, forward)
    try:
        answer = connection.recv(1)
        if answer == DECLINED:
            reason = b""
            while part := connection.recv(1000):
                reason += part
            raise _Here(reason.decode("utf-8", "replace"))
        if answer != ACCEPTED:
            raise _Here("it ended")
        try:
            while (answer := connection.recv(1)) == PAUSED:
                _signal.signal(_signal.SIGTSTP, _signal.SIG_DFL)
                _signal.raise_signal(_signal.SIGTSTP)  # returns on fg or bg
                _signal.signal(_signal.SIGTSTP, forward)
                _send(connection, CONTINUE)
            last = connection.recv(1) if answer == DONE else b""
        except ConnectionError:
            last = b""
    finally:
        for number, handler in before.items():
            _signal.signal(number, handler)
    if last:
        return last[0]
    print(
        "qrank: the warm process ended while it ran this command; try again, or add --no-serve",
        file=sys.stderr,
    )
    return 2
