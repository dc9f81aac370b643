"""A proxy before a real engine that speaks TLS, wants a key, or only lets read, as an engine with
security does."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import loopback


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for loopback, and its key."""
    made, key = folder / "own.pem", folder / "own.key"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", key, "-out", made]
    subprocess.run(["openssl", "req", *options, *names, *files], check=True, capture_output=True)
    return made, key


def _reads(method: str, path: str) -> bool:
    last = path.partition("?")[0].rpartition("/")[2]
    return last in ("_search", "_count", "point_in_time") or (method == "GET" and "/_doc/" in path)


@contextmanager
def proxy(
    engine: str,
    authorization: str = "",
    refuses: int = 401,
    tls: tuple[Path, Path] | None = None,
    *,
    reads_only: bool = False,
    requests: list[str] | None = None,
) -> Iterator[str]:
    """The address of a proxy. authorization: the header that it wants, else it answers refuses;
    reads_only: it answers 403 to what takes more than the right to read documents; requests: gets
    the path of each request."""
    host = urlsplit(engine).netloc

    class Proxy(loopback.Handler):
        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if requests is not None:
                requests.append(self.path)
            if authorization and self.headers.get("Authorization") != authorization:
                self._answer(refuses, "text/plain", b"Unauthorized")
                return
            if reads_only and not _reads(self.command, self.path):
                error = {"type": "security_exception", "reason": "no permissions for [x]"}
                said = json.dumps({"error": error, "status": 403}).encode()
                self._answer(403, "application/json", said)
                return
            there = HTTPConnection(host, timeout=60)
            kind = self.headers.get("Content-Type")
            there.request(self.command, self.path, body, {"Content-Type": kind} if kind else {})
            answer = there.getresponse()
            self._answer(answer.status, answer.headers["Content-Type"], answer.read())
            there.close()

        do_GET = do_PUT = do_POST = do_DELETE = _pass_on

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
    with loopback.serving(Proxy, context) as url:
        yield url
