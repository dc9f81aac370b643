"""Files as they are in the wild: conversions of the same weights that differ in metadata give the
same numbers, or one line says what is wrong with the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from modernbert_folder import EXPECTED as MODERNBERT
from modernbert_folder import publish
from support import PARITY, Run, complaint, distance

from qrank.errors import ModelError
from qrank.inference.loading import load_embedder
from qrank.llama.embedder import LlamaEmbedder
from qrank.llama.gguf import Kind, read_header, sha256
from qrank.llama.token_types import typed_inputs
from qrank.models import registry
from qrank.models.convert import convert
from qrank.settings import ANYWHERE

Qrank = Callable[..., Run]
Arrays = dict[str, Any]
EXPECTED: dict[str, Any] = json.loads((PARITY / "expected.json").read_text("utf-8"))
LABELS = "qwen3.classifier.output_labels"
PRE = "tokenizer.ggml.pre"


def rewrite(
    source: Path,
    out: Path,
    fields: dict[str, Any] | None = None,
    tensors: Callable[[Arrays], Arrays] | None = None,
    kinds: dict[str, gguf.GGMLQuantizationType] | None = None,
) -> Path:
    """A GGUF file with other metadata (None takes a key away), tensors, and types of tensors."""
    reader = gguf.GGUFReader(source)
    changed = fields or {}
    writer = gguf.GGUFWriter(out, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture" or name in changed:
            continue
        sub = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=sub)
    for name, value in changed.items():
        if isinstance(value, list):
            writer.add_array(name, value)
        elif value is not None:
            {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32}[type(value)](
                name, value
            )
    arrays = {t.name: t.data.reshape(tuple(t.shape)[::-1]) for t in reader.tensors}
    for name, array in (tensors or dict)(arrays).items():
        kind = (kinds or {}).get(name)
        if kind is None:
            writer.add_tensor(name, array)
        else:
            data = gguf.quants.quantize(np.ascontiguousarray(array), kind)
            writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def token(name: str) -> int:
    """The id of a token of the Qwen3 fixtures."""
    fields = gguf.GGUFReader(PARITY / "lm.gguf").fields
    tokens: list[str] = fields["tokenizer.ggml.tokens"].contents()
    return tokens.index(name)


def closeness(path: Path) -> float:
    embedder = LlamaEmbedder(read_header(path).pooled_by("last"), ANYWHERE)
    cases = EXPECTED["embed_doc"]
    vectors = embedder.documents([case["text"] for case in cases]).vectors
    embedder.close()
    return float((vectors * np.array([case["vec"] for case in cases])).sum(axis=1).min())


SPLITS = pytest.mark.parametrize("pre", ["qwen2", "qwen35", "default", None])
TURN_END, TEXT_END = "<|im_end|>", "<|endoftext|>"


@SPLITS
@pytest.mark.parametrize("end", [TEXT_END, TURN_END])
def test_an_embedder_is_right_whatever_its_conversion_left_out(
    tmp_path: Path, end: str, pre: str | None
) -> None:
    changes = {
        PRE: pre,
        "tokenizer.ggml.eos_token_id": token(end),
        "tokenizer.ggml.add_eos_token": None,
        "tokenizer.ggml.add_bos_token": None,
        "qwen3.pooling_type": None,
    }
    assert closeness(rewrite(PARITY / "embed.gguf", tmp_path / "m.gguf", changes)) >= 0.9999


def test_an_embedder_without_pooling_is_used_when_it_is_named_so(
    qrank: Qrank, tmp_path: Path, environment: dict[str, str]
) -> None:
    changes: dict[str, Any] = {"qwen3.pooling_type": None, "tokenizer.ggml.add_eos_token": None}
    path = rewrite(PARITY / "embed.gguf", tmp_path / "m.gguf", changes)
    line = complaint(qrank("embed", "--embed-model", path, stdin="a"))
    assert "not an embedder" in line
    assert "`pooling` in config.toml" in line
    config = Path(environment["HOME"]) / ".config" / "qrank" / "config.toml"
    config.parent.mkdir(parents=True)
    entry = f'[[embedder]]\nalias = "mine"\nsource = "{path}"\npooling = "last"\n'
    config.write_text(entry, "utf-8")
    (tmp_path / "notes.md").write_text("a tide\n", "utf-8")
    assert qrank("index", "--embed-model", "mine", tmp_path).returncode == 0
    out = qrank("embed", "--embed-model", "mine", stdin="a tide\n").lines()
    assert out == qrank("embed", "--embed-model", PARITY / "embed.gguf", stdin="a tide\n").lines()


@pytest.mark.parametrize("known", [True, False])
def test_an_embedder_without_pooling_is_used_when_the_registry_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """By its content alone: it has another name, and lies elsewhere."""
    path = rewrite(PARITY / "embed.gguf", tmp_path / "m.gguf", {"qwen3.pooling_type": None})
    named = {"source": "hf:a/b/c.gguf", "quantization": "F32", "bytes": path.stat().st_size}
    digest = sha256(path) if known else "0" * 64
    entry = {"alias": "theirs", "pooling": "last", "files": [named | {"sha256": digest}]}
    lines = registry._packaged()
    more = {**lines, "embedder": [*lines["embedder"], entry]}
    monkeypatch.setattr(registry, "_packaged", lambda: more)
    choice = registry.Registry().resolve(registry.Role.embedder, str(path))
    if not known:
        with pytest.raises(ModelError, match="not an embedder"):
            load_embedder(choice, ANYWHERE)
        return
    embedder = load_embedder(choice, ANYWHERE)
    cases = EXPECTED["embed_doc"]
    vectors = embedder.documents([case["text"] for case in cases]).vectors
    embedder.close()
    for vector, case in zip(vectors, cases, strict=True):
        assert float(vector @ np.array(case["vec"])) >= 0.9999


def swapped(arrays: Arrays) -> Arrays:
    return arrays | {"cls.output.weight": arrays["cls.output.weight"][::-1].copy()}


F16, Q8_0 = gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.Q8_0


@pytest.mark.parametrize("kind", [None, F16, Q8_0], ids=["F32", "F16", "Q8_0"])
@pytest.mark.parametrize("labels", [["yes", "no"], ["no", "yes"]], ids=["yes-no", "no-yes"])
def test_a_head_is_right_in_any_order_and_type(
    tmp_path: Path, labels: list[str], kind: gguf.GGMLQuantizationType | None
) -> None:
    path = rewrite(
        PARITY / "cls.gguf",
        tmp_path / "m.gguf",
        {LABELS: labels, "tokenizer.chat_template": "{{ messages }}"},
        swapped if labels[0] == "no" else None,
        {"cls.output.weight": kind} if kind else None,
    )
    # Eight bits of two rows of random weights are off by this much in any engine.
    assert distance(path, EXPECTED["rerank"]) <= (1e-2 if kind is Q8_0 else 2e-3)


@pytest.mark.parametrize("labels", [None, ["LABEL_0", "LABEL_1"]])
def test_a_head_without_yes_is_refused(
    qrank: Qrank, tmp_path: Path, labels: list[str] | None
) -> None:
    rewrite(PARITY / "cls.gguf", tmp_path / "m.gguf", {LABELS: labels})
    line = complaint(qrank("rerank", "q", "--rerank-model", "./m.gguf", stdin="a"))
    assert "m.gguf has a head with" in line
    assert "it is unknown which row means yes" in line


def untied(arrays: Arrays) -> Arrays:
    return arrays | {"output.weight": arrays["token_embd.weight"].copy()}


def padded(arrays: Arrays) -> Arrays:
    """As many rows more as a published matrix has more than tokens, which must not matter."""
    rows = arrays["token_embd.weight"]
    return arrays | {"token_embd.weight": np.concatenate([rows, rows[:123] * 9])}


@SPLITS
def test_a_plain_language_model_is_right_whatever_its_conversion_did(
    tmp_path: Path, pre: str | None
) -> None:
    reader = gguf.GGUFReader(PARITY / "lm.gguf").fields
    padding = [f"[PAD{i}]" for i in range(123)]
    changes = {
        PRE: pre,
        "tokenizer.ggml.tokens": reader["tokenizer.ggml.tokens"].contents() + padding,
        "tokenizer.ggml.token_type": reader["tokenizer.ggml.token_type"].contents()
        + [int(gguf.TokenType.UNUSED)] * 123,
        "tokenizer.ggml.eos_token_id": token(TEXT_END),
        "tokenizer.chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}",
    }

    path = rewrite(PARITY / "lm.gguf", tmp_path / "m.gguf", changes, padded)
    assert distance(path, EXPECTED["rerank"]) <= 2e-3
    path = rewrite(
        PARITY / "lm.gguf", tmp_path / "untied.gguf", changes, lambda a: untied(padded(a))
    )
    assert distance(path, EXPECTED["rerank"]) <= 2e-3


def test_a_vocabulary_of_another_size_than_the_matrix_is_refused(
    qrank: Qrank, tmp_path: Path
) -> None:
    rewrite(PARITY / "lm.gguf", tmp_path / "m.gguf", tensors=padded)
    line = complaint(qrank("rerank", "q", "--rerank-model", "./m.gguf", stdin="a"))
    assert "tokens, but rows for" in line


def test_a_dropped_part_of_a_head_is_refused(qrank: Qrank, tmp_path: Path) -> None:
    def without_pooler(arrays: Arrays) -> Arrays:
        return {
            name: a for name, a in arrays.items() if not name.startswith("cls.") or "out" in name
        }

    rewrite(PARITY / "bert-rank.gguf", tmp_path / "m.gguf", tensors=without_pooler)
    line = complaint(qrank("rerank", "q", "--rerank-model", "./m.gguf", stdin="a"))
    assert "lacks a part of its head (cls.weight)" in line
    convert(publish(tmp_path / "folder", "classifier", "mean"), tmp_path / "whole.gguf")
    key = "modern-bert.classifier.pooling_type"
    rewrite(tmp_path / "whole.gguf", tmp_path / "m.gguf", tensors=without_pooler)
    line = complaint(qrank("rerank", "q", "--rerank-model", "./m.gguf", stdin="a"))
    assert "lacks a part of its head (cls.weight, cls.norm.weight)" in line
    rewrite(tmp_path / "whole.gguf", tmp_path / "old.gguf", {key: None, PRE: None})
    assert distance(tmp_path / "old.gguf", MODERNBERT["rank"]["classifier-mean"]) <= 2e-3
    run = qrank("rerank", "q", "--rerank-model", "./old.gguf", stdin="a")
    assert "does not say how it pools before its head" in run.stderr
    assert read_header(tmp_path / "old.gguf").kind is Kind.cross_encoder


def test_types_of_tokens_are_added_to_vectors_of_any_kind_of_storage(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((1057, 64)).astype(np.float32)
    types = rng.standard_normal((2, 64)).astype(np.float32)
    tokens = np.array([101, 7, 102, 8, 9, 102, 101, 102, 7, 102], dtype=np.int32)
    owners = np.array([0] * 6 + [1] * 4, dtype=np.int32)
    second = np.array([0, 0, 0, 1, 1, 1, 0, 0, 1, 1], dtype=bool)  # the separator ends the first
    for kind, off in (
        (None, 1e-6),
        (F16, 2e-3),
        (Q8_0, 2e-2),
        (gguf.GGMLQuantizationType.BF16, 2e-2),
    ):

        def wider(arrays: Arrays) -> Arrays:
            return arrays | {"token_embd.weight": rows, "token_types.weight": types}

        path = rewrite(
            PARITY / "bert-rank.gguf",
            tmp_path / f"{kind}.gguf",
            {"bert.embedding_length": 64},
            wider,
            {"token_embd.weight": kind} if kind else None,
        )
        inputs = typed_inputs(read_header(path), 102)
        assert inputs is not None
        wanted = rows[tokens] + np.where(second[:, None], types[1] - types[0], 0)
        assert inputs.vectors(tokens, owners) == pytest.approx(wanted, abs=off * 4)
    assert typed_inputs(read_header(PARITY / "bert-embed.gguf"), 102) is None
    assert typed_inputs(read_header(PARITY / "xlmr-rank.gguf"), 102) is None
