"""The messages between the warm process, its model processes and their clients: two lengths of 4
bytes, big-endian, then a JSON value, then data such as vectors."""

from __future__ import annotations

import json
import socket
from typing import Any

MOST = 1 << 30  # bytes of one message


class Ended(OSError):
    """The other end has closed the connection."""


def send(connection: socket.socket, message: Any, data: bytes = b"") -> None:
    """Send a JSON value, and the data that belongs to it. Raises OSError."""
    text = json.dumps(message).encode("ascii")
    head = len(text).to_bytes(4, "big") + len(data).to_bytes(4, "big")
    connection.sendall(head + text + data)


def receive(connection: socket.socket) -> tuple[Any, bytes]:
    """Receive the next JSON value and its data. Raises Ended when the connection is closed,
    OSError for other errors, ValueError for invalid JSON."""
    head = exactly(connection, 8)
    lengths = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
    if max(lengths) > MOST:
        raise OSError("the message is too long")
    return json.loads(exactly(connection, lengths[0])), exactly(connection, lengths[1])


def exactly(connection: socket.socket, length: int) -> bytes:
    """Receive exactly `length` bytes. Raises Ended when the connection is closed before."""
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(min(length - len(parts), 1 << 20))
        if not part:
            raise Ended("the connection was closed")
        parts += part
    return bytes(parts)


def is_gone(connection: socket.socket) -> bool:
    """Whether the other end has closed the connection."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
