"""Model files for the benchmarks: the real shapes, random weights, the bundled vocabulary padded.

Needs the `gguf` package (pip install gguf). Shapes: config.json of Qwen3-Embedding-0.6B (Qwen).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import gguf
import llama_cpp.llama_cpp as llama
import numpy as np

BUNDLED = Path(__file__).parents[1] / "qrank" / "models" / "tiny"
QUANTS = {"F16": 1, "Q4_0": 2, "Q8_0": 7, "Q4_K_M": 15, "BF16": 32}  # llama.cpp's llama_ftype


@dataclass(frozen=True)
class Shape:
    """The sizes of a qwen3 model."""

    name: str
    layers: int
    dims: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int


SHAPES = {
    "small": Shape("small", 4, 256, 4, 2, 64, 768, 32_768),
    "0.6b": Shape("0.6b", 28, 1024, 16, 8, 128, 3072, 151_936),
}


def model(folder: Path, shape: Shape, kind: str, quant: str) -> Path:
    """The path of such a file in folder, made when it is not there.

    kind: `embed` (last-token pooling) or `lm` (a plain causal model).
    """
    path = folder / f"{shape.name}-{kind}-{quant}.gguf"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    full = folder / f"{shape.name}-{kind}-F16.gguf"
    if not full.exists():
        _write(full, shape, kind)
    if quant != "F16":
        parameters = llama.llama_model_quantize_default_params()
        parameters.ftype = QUANTS[quant]
        status = llama.llama_model_quantize(
            str(full).encode(), str(path).encode(), ctypes.byref(parameters)
        )
        if status:
            raise SystemExit(f"llama.cpp could not quantise {full} to {quant}")
    return path


def _write(path: Path, shape: Shape, kind: str) -> None:
    vocabulary = gguf.GGUFReader(BUNDLED / "tiny-reranker.gguf")
    field = vocabulary.fields
    tokens = field["tokenizer.ggml.tokens"].contents()
    types = field["tokenizer.ggml.token_type"].contents()
    padding = shape.vocabulary - len(tokens)
    writer = gguf.GGUFWriter(path.with_suffix(".part"), "qwen3")
    writer.add_name(f"random {shape.name}")
    writer.add_context_length(32_768)
    writer.add_embedding_length(shape.dims)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    if kind == "embed":
        writer.add_pooling_type(gguf.PoolingType.LAST)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens + [f"[PAD{i}]" for i in range(padding)])
    writer.add_token_types(types + [gguf.TokenType.UNUSED] * padding)
    writer.add_token_merges(field["tokenizer.ggml.merges"].contents())
    writer.add_eos_token_id(field["tokenizer.ggml.eos_token_id"].contents())
    writer.add_add_eos_token(kind == "embed")
    _add_tensors(writer, shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    path.with_suffix(".part").rename(path)


def _add_tensors(writer: gguf.GGUFWriter, shape: Shape) -> None:
    random = np.random.default_rng(0)
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    matrices = {
        "attn_q": (query, shape.dims),
        "attn_k": (key, shape.dims),
        "attn_v": (key, shape.dims),
        "attn_output": (shape.dims, query),
        "ffn_gate": (shape.feed_forward, shape.dims),
        "ffn_up": (shape.feed_forward, shape.dims),
        "ffn_down": (shape.dims, shape.feed_forward),
    }
    norms = {
        "attn_norm": shape.dims,
        "ffn_norm": shape.dims,
        "attn_q_norm": shape.head_dim,
        "attn_k_norm": shape.head_dim,
    }

    def weights(size: tuple[int, int]) -> np.ndarray:
        return (random.standard_normal(size, dtype=np.float32) * 0.02).astype(np.float16)

    writer.add_tensor("token_embd.weight", weights((shape.vocabulary, shape.dims)))
    writer.add_tensor("output_norm.weight", np.ones(shape.dims, dtype=np.float32))
    for layer in range(shape.layers):
        for name, size in matrices.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(size))
        for name, length in norms.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(length, dtype=np.float32))
