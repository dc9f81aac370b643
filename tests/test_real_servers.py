"""llama-cpp-python's own server, started on loopback: results equal those of the model file."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from support import PARITY, ROOT, Run, complaint

pytest.importorskip("uvicorn", reason="llama-cpp-python[server] is not installed")

Qrank = Callable[..., Run]
EXPECTED: dict[str, Any] = json.loads((PARITY / "expected.json").read_text("utf-8"))
TINY = ROOT / "qrank" / "models" / "tiny" / "tiny-reranker.gguf"
TEMPLATE = (  # Qwen3's, as far as it matters here
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n{{ '<think>\\n\\n</think>\\n\\n' }}"
)


@contextmanager
def serving(model: Path, *options: str) -> Iterator[str]:
    """The URL of a server that runs a model file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--port", str(port)]
    command += [
        "--host",
        "127.0.0.1",
        "--n_ctx",
        "2048",
        "--n_batch",
        "2048",
        "--n_threads",
        "1",
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 90
            while True:
                try:
                    urllib.request.urlopen(f"{url}/v1/models", timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None, "the server did not start"
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
            yield url
        finally:
            server.terminate()


def test_an_embedding_server_gives_the_files_own_vectors(
    qrank: Qrank, tmp_path: Path, environment: dict[str, str]
) -> None:
    environment["no_proxy"] = "127.0.0.1"
    texts = [case["text"] for case in EXPECTED["embed_doc"]]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    with serving(PARITY / "embed.gguf", "--embedding", "true") as url:
        served = qrank("embed", "--embed-model", url, stdin=lines).lines()
        (tmp_path / "a.txt").write_text("The heron stands still.\n")
        assert qrank("index", "a.txt", "--db", "i.db", "--embed-model", url).returncode == 0
        words = ("search", "a heron", "--mode", "vector", "--no-rerank", "--db", "i.db", "--json")
        assert len(qrank(*words).json()["results"]) == 1
    own = qrank("embed", "--embed-model", PARITY / "embed.gguf", stdin=lines).lines()
    for a, b in zip(served, own, strict=True):
        if (
            "<|" not in a["text"] and a["text"].strip()
        ):  # what is sent differs: see escape_control_tokens
            assert float(np.dot(a["embedding"], b["embedding"])) >= 0.9999, a["text"]


def with_template(out: Path) -> Path:
    """The bundled reranker, a plain language model, with a chat template in it. Its matrices are
    F32: the server uses AMX for quantized ones, which some builds can't (qrank.llama.instructions).
    """
    reader = gguf.GGUFReader(TINY)
    writer = gguf.GGUFWriter(out, "qwen3")
    for key, value in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        kinds = value.types
        sub = kinds[-1] if kinds[0] is gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, value.contents(), kinds[0], sub)
    writer.add_chat_template(TEMPLATE)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def test_a_chat_server_is_understood(
    qrank: Qrank, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The request is one that the server takes, and its answer is read. Its twenty likeliest
    tokens need not hold both words with a model as small as this one: then that is what is said,
    or the order alone is that of the file's own scores."""
    environment["no_proxy"] = "127.0.0.1"
    words = ("rerank", "a tide", "--json", "--rerank-model")
    model = with_template(tmp_path / "chat.gguf")
    with serving(model, "--logits_all", "true") as url:
        run = qrank(*words, url, stdin="a\nb\n")
    if run.returncode:
        assert "the model answers neither yes nor no, but" in complaint(run)
        return
    own = qrank(*words, model, stdin="a\nb\n").json()["results"]
    assert [r["text"] for r in run.json()["results"]] == [r["text"] for r in own]
