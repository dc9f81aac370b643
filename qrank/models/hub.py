"""Downloading a file from the Hugging Face hub, or a mirror of it, into the hub's own cache.

huggingface-hub provides the endpoint (HF_ENDPOINT), the token, proxies and offline mode
(HF_HUB_OFFLINE). Its own download starts over when the connection breaks, so the bytes are
downloaded here: into a partial file that is resumed, and verified before it is renamed.
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

TRIES = 5  # in a row without progress
TIMEOUT = 30.0  # seconds without a byte
WAIT, MOST_WAIT = 0.25, 60.0  # seconds before the second try, doubled each time; the most
SPARE = 64 << 20  # bytes of the disk that are left free

T = TypeVar("T")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLAIN = re.compile(r"[0-9A-Za-z_-]+")  # names from the server that are safe as file names
_RETRYABLE = (408, 425, 429, 500, 502, 503, 504)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(slots=True)
class Remote:
    """The hub's metadata of a file. url: may expire and be replaced; the content stays the same."""

    url: str
    revision: str
    etag: str
    size: int
    headers: dict[str, str]

    @property
    def sha256(self) -> str | None:
        """The checksum of a large file, which is its ETag."""
        return self.etag if _SHA256.fullmatch(self.etag) else None


class _RetryableError(Exception):
    """A failure that may be temporary; wait: seconds until the next try, None: not specified."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class NoSuchFile(ModelError):
    """The hub answered 404 for a file."""


def look_up(file: File) -> Remote:
    """Get a file's metadata from the hub. Raises ModelError, or NoSuchFile for a 404."""
    import huggingface_hub as hub
    from huggingface_hub.utils._headers import build_hf_headers

    repository, name = split_source(file.source)
    url = hub.hf_hub_url(repository, name, revision=file.revision)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}

    def request() -> Remote:
        metadata = hub.get_hf_file_metadata(url)
        names = (metadata.etag or "", metadata.commit_hash or "")
        if not metadata.size or not all(_PLAIN.fullmatch(part) for part in names):
            raise ModelError(f"{url} is not a file on a hub: {_PAGE}", hint=_MIRROR)
        etag, revision = names
        same_host = metadata.location.split("/")[:3] == url.split("/")[:3]
        if not same_host:  # the token is for the hub only, not for its storage servers
            headers.pop("authorization", None)
        return Remote(metadata.location, revision, etag, metadata.size, headers)

    return _with_retries(request, file, lambda: 0)


def download(file: File, remote: Remote, progress: Callable[[int], None]) -> Path:
    """Download a file, resuming an earlier try; returns its path in the hub's cache.

    progress: called with the number of bytes so far. The SHA-256 is checked against the registry's,
    else the hub's. Raises ModelError; the partial file is kept for the next try, unless its
    checksum is wrong.
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
            _with_retries(lambda: _fetch(part, file, remote, progress), file, lambda: _size(part))
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


def _fetch(part: Path, file: File, remote: Remote, progress: Callable[[int], None]) -> None:
    """Append the missing bytes to part. Raises _RetryableError when the connection breaks, and when
    a signed link has expired (403), after getting a new one."""
    from huggingface_hub import get_session

    size = _size(part)
    if size > remote.size:
        part.unlink()
        size = 0
    progress(size)
    if size == remote.size:
        return
    headers = remote.headers | ({"Range": f"bytes={size}-"} if size else {})
    stream = get_session().stream("GET", remote.url, headers=headers, timeout=TIMEOUT)
    with stream as response:
        if response.status_code == 416:  # the file is shorter now
            part.unlink()
            raise _RetryableError("the file changed on the server")
        if response.status_code == 403:
            remote.url = look_up(file).url
            raise _RetryableError("the download link was refused (403)")
        response.raise_for_status()
        if "text/html" in response.headers.get("content-type", ""):
            raise ModelError(f"{remote.url} is not a file on a hub: {_PAGE}", hint=_MIRROR)
        resumes = response.status_code == 206
        size = size if resumes else 0
        with part.open("ab" if resumes else "wb") as out:
            for block in response.iter_raw():  # unbuffered, so that a broken connection loses none
                out.write(block)
                size += len(block)
                progress(size)
    if size != remote.size:
        raise _RetryableError(f"the server sent {size} of {remote.size} bytes")


def _with_retries(request: Callable[[], T], file: File, size: Callable[[], int]) -> T:
    """Call request until it succeeds. Raises ModelError after TRIES failures in a row between
    which size() did not grow."""
    import httpx2
    from huggingface_hub import errors

    failures, before = 0, size()
    while True:
        try:
            return request()
        except errors.OfflineModeIsEnabled as error:
            raise ModelError(
                f"can't fetch {file.source}: HF_HUB_OFFLINE is set", hint="unset it to pull"
            ) from error
        except (httpx2.HTTPStatusError, errors.HfHubHTTPError) as error:
            response: Any = error.response
            failure = _RetryableError(f"status {response.status_code}", _retry_after(response))
            if response.status_code not in _RETRYABLE:
                raise _refusal(file, response.status_code) from error
        except httpx2.HTTPError as error:
            failure = _RetryableError(str(error) or type(error).__name__)
        except _RetryableError as error:
            failure = error
        now = size()
        failures = failures + 1 if now <= before else 0
        before = now
        if failures >= TRIES:
            raise ModelError(
                f"can't fetch {file.source}: {failure}",
                hint="check the network and pull it again"
                + (": the download resumes" if now else "; HF_ENDPOINT names a mirror"),
            ) from failure
        if failures:
            pause = WAIT * 2 ** (failures - 1) if failure.wait is None else failure.wait
            time.sleep(min(MOST_WAIT, pause))


def _retry_after(response: Any) -> float | None:
    """The seconds of the Retry-After header, if it has any."""
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
    """Raise ModelError, and delete the file, when its SHA-256 is not the expected one."""
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
    """Link to the blob, as the hub's cache does; without permission for links, move it there."""
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
