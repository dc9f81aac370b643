"""The client of the warm process: sends it a command, and waits for the exit status.

The process that runs the command gets this process's stdin, stdout and stderr as file descriptors,
so that the output is the same to the byte. To start quickly, hardly anything is imported here. If
anything fails before the command has begun, it is run in this process instead.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself imports enum: 3 ms
import _socket
import os
import sys

SERVED = ("search", "rerank", "embed", "similar", "get")
COMMANDS, CONTROL = ".sock", ".control"  # suffixes of the sockets' names
# Messages of one byte: from the server,
HELLO, ACCEPTED, DECLINED, DONE = b"H", b"A", b"D", b"S"
# and from the client, but for PAUSED: on Ctrl-Z, when the command is stopped, on fg.
INTERRUPT, TERMINATE = b"I", b"T"
PAUSE, PAUSED, CONTINUE = b"Z", b"P", b"C"
SECONDS = 1.0  # timeout for the first byte

_WITH_VALUE = ("--db", "--color")
_FLAGS = ("-q", "--quiet", "-v", "--verbose", "--debug")


class _NotServedError(Exception):
    """The command has to run in this process, with the reason."""


def run(arguments: list[str]) -> int | None:
    """Have the warm process run a command; returns its exit status. None when it was not run,
    because there is no such process or it declined: then it has to run in this process."""
    if os.name != "posix" or not is_served(arguments):
        return None
    try:
        return _run(arguments)
    except (_NotServedError, OSError) as error:
        options = arguments[: arguments.index("--")] if "--" in arguments else arguments
        if "--debug" in options:
            reason = str(error) or type(error).__name__
            print(f"qrank: not run by the warm process: {reason}", file=sys.stderr)
        return None


def is_served(arguments: list[str]) -> bool:
    """Whether the warm process can run this command, and no option or variable forbids it."""
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
        # The interactive search controls the terminal, which only works in this process.
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
            raise _NotServedError("a standard stream is closed") from None
    if os.isatty(0) and _reads_stdin(arguments):
        # A command in the background would read input meant for the shell.
        raise _NotServedError("it reads from the terminal")
    request = _request(arguments, places.identity())
    try:
        connection = places.connect(places.NAME + COMMANDS, SECONDS)
    except (FileNotFoundError, ConnectionRefusedError):
        raise _NotServedError("none is running") from None
    try:
        try:
            if connection.recv(1) != HELLO:
                raise _NotServedError("it ended")
        except TimeoutError:
            raise _NotServedError("it does not answer") from None
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
    """The request: arguments, working folder, umask and environment, separated by NUL. identity:
    see places.identity."""
    try:
        folder, here, root = os.getcwdb(), os.stat("."), os.stat("/")
    except OSError:
        raise _NotServedError("the working folder no longer exists") from None
    mask = os.umask(0o077)
    os.umask(mask)
    inodes = f"{here.st_dev} {here.st_ino} {root.st_dev} {root.st_ino}"
    numbers = [os.getsid(0), mask, len(arguments)]
    head = [identity.encode(), folder, inodes.encode(), *(b"%d" % number for number in numbers)]
    environment = [name + b"=" + value for name, value in os.environb.items()]
    return b"\0".join([*head, *map(os.fsencode, arguments), *environment])


def _send(connection: _socket.socket, message: bytes) -> None:
    """Send a message to the process that runs the command. Errors are ignored: if it has just
    ended, its status can still be read."""
    try:
        connection.send(message)
    except OSError:
        return


def _status(connection: _socket.socket) -> int:
    """Wait for the exit status, and forward signals to the process that runs the command."""
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
            raise _NotServedError(reason.decode("utf-8", "replace"))
        if answer != ACCEPTED:
            raise _NotServedError("it ended")
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
