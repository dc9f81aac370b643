"""Downloading a file from the Hugging Face hub, or a mirror of it, into the hub's own cache.

huggingface-hub knows where the hub is (HF_ENDPOINT), who the user is (tokens), what proxies there
are and whether to stay offline (HF_HUB_OFFLINE). Its own download restarts when it is cut, so
the bytes are fetched here: into a file that is continued, and checked before it gets its name.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from qrank import files
from qrank.errors import ModelError
from qrank.models.places import repository_folder, split_source
from qrank.models.registry import File

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when huggingface-hub is imported

TRIES = 5  # in a row without a byte more; a cut after some progress counts from there again
TIMEOUT = 30.0  # seconds without a byte
WAIT, MOST_WAIT = 0.25, 60.0  # seconds before the second try, doubled each time; at most
SPARE = 64 << 20  # bytes of the disk that stay free

T = TypeVar("T")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLAIN = re.compile(r"[0-9A-Za-z_-]+")  # what a server says and may become a file's name
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(slots=True)
class Remote:
    """The hub's metadata of a file; url may change, what it leads to does not."""

    url: str
    revision: str
    etag: str
    size: int
    headers: dict[str, str]

    @property
    def sha256(self) -> str | None:
        """The checksum of a large file, which is its ETag."""
        return self.etag if _SHA256.fullmatch(self.etag) else None


class _Again(Exception):
    """Something that may work another time: what was said, and how long to wait."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class NoSuchFile(ModelError):
    """The repository is there, the file is not."""


def look_up(file: File) -> Remote:
    """Ask the hub about a file. Raises ModelError with what is wrong."""
    import huggingface_hub as hub
    from huggingface_hub.utils._headers import build_hf_headers

    repository, name = split_source(file.source)
    url = hub.hf_hub_url(repository, name, revision=file.revision)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}

    def ask() -> Remote:
        metadata = hub.get_hf_file_metadata(url)
        names = (metadata.etag or "", metadata.commit_hash or "")
        if not metadata.size or not all(_PLAIN.fullmatch(part) for part in names):
            raise ModelError(f"{url} is not a file on a hub: {_PAGE}", hint=_MIRROR)
        etag, revision = names
        own = metadata.location.split("/")[:3] == url.split("/")[:3]
        if not own:  # a token is for the hub, not for where its files lie
            headers.pop("authorization", None)
        return Remote(metadata.location, revision, etag, metadata.size, headers)

    return _with_retries(ask, file, lambda: 0)


def download(file: File, remote: Remote, tell: Callable[[int], None]) -> Path:
    """Fetch a file, going on where an earlier try ended; returns where it lies then.

    tell: called with the bytes that are there. The file gets its name when its checksum is right:
    the registry's, else the hub's own. Raises ModelError; what was fetched is kept for the next
    try unless it was wrong.
    """
    repository, name = split_source(file.source)
    folder = repository_folder(repository)
    blob = folder / "blobs" / remote.etag
    link = folder / "snapshots" / remote.revision / name
    part = blob.with_name(f"{remote.etag}.qrank.part")
    try:
        for place in (blob, link, folder / "refs" / "main"):
            place.parent.mkdir(parents=True, exist_ok=True)
        if not blob.exists():
            _require_room(part, remote.size)
            _with_retries(lambda: _fetch(part, file, remote, tell), file, lambda: _size(part))
            _check(part, file, remote)
            part.replace(blob)
        if not file.revision:
            files.write_text(folder / "refs" / "main", remote.revision)
        _link(link, blob)
    except OSError as error:
        if error.errno in _FULL:
            raise ModelError(
                f"no space left for {name} in {folder}",
                hint="free some space and pull it again: the download resumes",
            ) from error
        raise ModelError(f"can't write to {folder}: {files.reason(error)}") from error
    return link


def _fetch(part: Path, file: File, remote: Remote, tell: Callable[[int], None]) -> None:
    """Append what is missing to part. Raises _Again when the connection breaks, or when the link
    to the bytes has run out, as signed links do: it is asked for again then."""
    from huggingface_hub import get_session

    have = _size(part)
    if have > remote.size:
        part.unlink()
        have = 0
    tell(have)
    if have == remote.size:
        return
    headers = remote.headers | ({"Range": f"bytes={have}-"} if have else {})
    answer = get_session().stream("GET", remote.url, headers=headers, timeout=TIMEOUT)
    with answer as response:
        if response.status_code == 416:  # it got shorter
            part.unlink()
            raise _Again("the file changed on the server")
        if response.status_code == 403:
            remote.url = look_up(file).url
            raise _Again("the download link was refused (403)")
        response.raise_for_status()
        if "text/html" in response.headers.get("content-type", ""):
            raise ModelError(f"{remote.url} is not a file on a hub: {_PAGE}", hint=_MIRROR)
        goes_on = response.status_code == 206
        have = have if goes_on else 0
        with part.open("ab" if goes_on else "wb") as out:
            for block in response.iter_raw():  # as it comes: a cut loses nothing
                out.write(block)
                have += len(block)
                tell(have)
    if have != remote.size:
        raise _Again(f"the server sent {have} of {remote.size} bytes")


def _with_retries(ask: Callable[[], T], file: File, progress: Callable[[], int]) -> T:
    """Ask until it works; TRIES times in a row without progress end in a ModelError."""
    import httpx2
    from huggingface_hub import errors

    failed, before = 0, progress()
    while True:
        try:
            return ask()
        except errors.OfflineModeIsEnabled as error:
            raise ModelError(
                f"can't fetch {file.source}: HF_HUB_OFFLINE is set", hint="unset it to pull"
            ) from error
        except (httpx2.HTTPStatusError, errors.HfHubHTTPError) as error:
            response: Any = error.response
            again = _Again(f"status {response.status_code}", _retry_after(response))
            if response.status_code not in _AGAIN:
                raise _refusal(file, response.status_code) from error
        except httpx2.HTTPError as error:
            again = _Again(str(error) or type(error).__name__)
        except _Again as error:
            again = error
        now = progress()
        failed = failed + 1 if now <= before else 0
        before = now
        if failed >= TRIES:
            raise ModelError(
                f"can't fetch {file.source}: {again}",
                hint="check the network and pull it again"
                + (": the download resumes" if now else "; HF_ENDPOINT names a mirror"),
            ) from again
        if failed:
            pause = WAIT * 2 ** (failed - 1) if again.wait is None else again.wait
            time.sleep(min(MOST_WAIT, pause))


def _retry_after(response: Any) -> float | None:
    """The seconds that a server asks to be left alone."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None


_PAGE = "the answer is a web page (of a proxy or a login?)"
_MIRROR = "check HF_ENDPOINT and the proxy"
_REFUSALS = {
    401: ("the hub has no such file, or it needs a login", "check its page, and set HF_TOKEN"),
    403: ("the hub denies access", "accept its terms on its page, and set HF_TOKEN"),
    404: ("the hub has no such file", "check the file names on its page"),
}


def _refusal(file: File, status: int) -> ModelError:
    reason, hint = _REFUSALS.get(status, (f"the hub answered with status {status}", ""))
    kind = NoSuchFile if status == 404 else ModelError
    return kind(f"can't fetch {file.source}: {reason} ({status})", hint=hint)


def _require_room(part: Path, size: int) -> None:
    free = shutil.disk_usage(part.parent).free + _size(part)
    if free < size + SPARE:
        raise ModelError(
            f"{part.parent} has {free / 1e9:.1f} GB free, the file needs {size / 1e9:.1f} GB",
            hint="free some space, or set HF_HOME to another folder",
        )


def _check(part: Path, file: File, remote: Remote) -> None:
    """Raise ModelError, and drop the file, unless it is what it should be."""
    expected = file.sha256 or remote.sha256
    if expected is None:
        return
    with part.open("rb") as data:
        actual = hashlib.file_digest(data, "sha256").hexdigest()
    if actual != expected:
        part.unlink()
        raise ModelError(
            f"{file.source} has the SHA-256 {actual}, not {expected}; the download was deleted",
            hint="pull it again; if that repeats, do not use it",
        )


def _link(link: Path, blob: Path) -> None:
    """Name the blob as the hub's cache does; where links are not allowed, it is moved there."""
    if link.exists():
        return
    try:
        link.symlink_to(os.path.relpath(blob, link.parent))
    except OSError:
        blob.replace(link)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
