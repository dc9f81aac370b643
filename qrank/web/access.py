"""Access control: a token for programs, a one-time code and then a cookie for the page."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import threading
import time
from pathlib import Path

from qrank.errors import InputError
from qrank.files import reason, user_folder

CODE_SECONDS = 60
SESSION_SECONDS = 7 * 24 * 3600
MOST_CODES = 100  # unused ones
COOKIE = "qrank"


def token_file() -> Path:
    """The path of this user's token."""
    return user_folder("state") / "http-token"


def read_token(path: Path) -> str:
    """Read the token from a file, which is created, readable by this user only, if it does not
    exist.

    Raises InputError when the file can't be used, or others can read it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _make(path)
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(handle, encoding="ascii") as file:
            status = os.fstat(handle)
            token = file.read(1000).strip()
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is not text"
        raise InputError(f"can't use the token in {path}: {why}") from error
    if hasattr(os, "geteuid") and (
        status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077
    ):
        raise InputError(
            f"the token in {path} may be read by others", hint="delete the file: a new one is made"
        )
    if len(token) < 32:
        raise InputError(f"{path} contains no token", hint="delete the file: a new one is made")
    return token


def _make(path: Path) -> None:
    """Write a new token; if another process does so at the same time, one token wins."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(handle)
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        except OSError:  # the file system has no hard links
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class Access:
    """Checks tokens, one-time codes and session cookies. Thread-safe."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._key = hashlib.sha256(b"qrank page " + token.encode()).digest()
        self._codes: dict[str, float] = {}
        self._lock = threading.Lock()

    def has_token(self, authorization: str) -> bool:
        """Whether an Authorization header has this server's token."""
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            token.strip().encode(), self._token.encode()
        )

    def new_code(self) -> str:
        """A code that can be used once, within CODE_SECONDS."""
        code = secrets.token_urlsafe(24)
        now = time.monotonic()
        with self._lock:
            self._codes = {c: end for c, end in self._codes.items() if end > now}
            while len(self._codes) >= MOST_CODES:
                del self._codes[next(iter(self._codes))]
            self._codes[code] = now + CODE_SECONDS
        return code

    def use_code(self, code: str) -> bool:
        """Whether a code is valid; it is not valid any more afterwards."""
        with self._lock:
            return self._codes.pop(code, 0.0) > time.monotonic()

    def new_session(self) -> str:
        """The value of a session cookie; it is valid for SESSION_SECONDS, and for this token."""
        text = f"{int(time.time()) + SESSION_SECONDS}.{secrets.token_urlsafe(12)}"
        return f"{text}.{self._signature(text)}"

    def has_session(self, cookie: str) -> bool:
        """Whether a cookie's value was made by new_session and has not expired."""
        text, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(text).encode()):
            return False
        return int(text.partition(".")[0]) > time.time()

    def _signature(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
