"""Model files for the benchmarks, with the shapes of real models and random weights; the bundled
vocabulary is padded to the size of the real one, with as many merges.

Needs the `gguf` package (pip install gguf). Shapes: config.json of Qwen3-Embedding (Qwen).
"""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass
from pathlib import Path

import gguf
import llama_cpp.llama_cpp as llama
import numpy as np

BUNDLED = Path(__file__).parents[1] / "qrank" / "models" / "tiny"
BERT_VOCABULARY = Path(__file__).parents[1] / "tests" / "parity" / "bert-embed.gguf"
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
    tied: bool = True  # the output matrix is the token embeddings'


SHAPES = {
    "small": Shape("small", 4, 256, 4, 2, 64, 768, 32_768),
    "0.6b": Shape("0.6b", 28, 1024, 16, 8, 128, 3072, 151_936),
    "4b": Shape("4b", 36, 2560, 32, 8, 128, 9728, 151_936),
    "8b": Shape("8b", 36, 4096, 32, 8, 128, 12_288, 151_936, tied=False),
}


def model(folder: Path, shape: Shape, kind: str, quant: str) -> Path:
    """The path of a model file in folder, written when it does not exist.

    kind: `embed` (last-token pooling) or `lm` (a plain causal model).
    """
    path = folder / f"{shape.name}-{kind}-{quant}.gguf"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    full = folder / f"{shape.name}-{kind}-F16.gguf"
    if not full.exists():
        _write(full, shape, kind, _Halves())
    if quant != "F16":
        parameters = llama.llama_model_quantize_default_params()
        parameters.ftype = QUANTS[quant]
        status = llama.llama_model_quantize(
            str(full).encode(), str(path).encode(), ctypes.byref(parameters)
        )
        if status:
            raise SystemExit(f"llama.cpp could not quantise {full} to {quant}")
    return path


def quick_model(folder: Path, shape: Shape) -> Path:
    """The path of a Q8_0 model file, written when it does not exist.

    It is quick to write: all matrices are slices of one array of random blocks. `set_role` turns
    it into an embedder or a plain causal model.
    """
    path = folder / f"{shape.name}-quick-Q8_0.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, shape, "none", _Blocks(shape.vocabulary * shape.dims))
    return path


@dataclass(frozen=True)
class BertShape:
    """The sizes of a bert model."""

    name: str
    layers: int
    dims: int
    heads: int
    feed_forward: int
    vocabulary: int = 30_522


BERT_SHAPES = {
    "minilm": BertShape("minilm", 6, 384, 12, 1536),
    "e5-small": BertShape("e5-small", 12, 384, 12, 1536, 250_037),
    "bert-base": BertShape("bert-base", 12, 768, 12, 3072),
}


def bert_model(folder: Path, shape: BertShape) -> Path:
    """The path of a Q8_0 embedder of the BERT family in folder, written when it does not exist."""
    path = folder / f"{shape.name}-Q8_0.gguf"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    fields = gguf.GGUFReader(BERT_VOCABULARY).fields
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(512)
    writer.add_embedding_length(shape.dims)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    for key, field in fields.items():
        if key.startswith("tokenizer."):
            value = field.contents()
            if isinstance(value, list):  # a piece or a type for each token
                pad = [f"[PAD{i}]" for i in range(shape.vocabulary - len(value))]
                value += pad if isinstance(value[0], str) else [gguf.TokenType.UNUSED] * len(pad)
                writer.add_array(key, value)
            else:
                writer.add_key_value(key, value, field.types[0])
    tensors = _Blocks(shape.vocabulary * shape.dims)
    tensors.add(writer, "token_embd.weight", (shape.vocabulary, shape.dims))
    small = {"position_embd": (512, shape.dims), "token_types": (2, shape.dims)}
    for name, size in small.items():
        writer.add_tensor(f"{name}.weight", np.full(size, 0.01, dtype=np.float32))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(shape.dims, dtype=np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(shape.dims, dtype=np.float32))

    norm("token_embd_norm")
    square, up = (shape.dims, shape.dims), (shape.feed_forward, shape.dims)
    sizes = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), square)
    sizes |= {"ffn_up": up, "ffn_down": up[::-1]}
    for layer in range(shape.layers):
        for name, size in sizes.items():
            tensors.add(writer, f"blk.{layer}.{name}.weight", size)
            writer.add_tensor(f"blk.{layer}.{name}.bias", np.zeros(size[0], dtype=np.float32))
        norm(f"blk.{layer}.attn_output_norm")
        norm(f"blk.{layer}.layer_output_norm")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def set_role(path: Path, kind: str) -> None:
    """Turn the file into an `embed` or `lm` one: sets the pooling type in its header."""
    number = {"embed": gguf.PoolingType.LAST, "lm": gguf.PoolingType.NONE}[kind]
    with path.open("r+b") as file:
        start = file.read(1 << 20)
        key = b"qwen3.pooling_type"
        file.seek(start.index(key) + len(key) + 4)  # after the value's type (uint32)
        file.write(struct.pack("<I", number))


class _Blocks:
    """Random matrices in Q8_0."""

    BLOCK, BYTES = 32, 34  # values and bytes of a block: a float16 scale, then int8 values

    def __init__(self, largest: int) -> None:
        self._random = np.random.default_rng(0)
        blocks = largest // self.BLOCK + 1_000_000
        self._pool = np.empty((blocks, self.BYTES), dtype=np.uint8)
        self._pool[:, :2] = np.array([0.02 / 73.6], dtype=np.float16).view(np.uint8)
        self._pool[:, 2:] = np.frombuffer(
            self._random.bytes(blocks * self.BLOCK), dtype=np.uint8
        ).reshape(blocks, self.BLOCK)

    def add(self, writer: gguf.GGUFWriter, name: str, size: tuple[int, int]) -> None:
        """Add a matrix; the standard deviation of its values is .02."""
        blocks = size[0] * size[1] // self.BLOCK
        start = int(self._random.integers(len(self._pool) - blocks))
        rows = self._pool[start : start + blocks].reshape(size[0], -1)
        writer.add_tensor(name, rows, raw_dtype=gguf.GGMLQuantizationType.Q8_0)


class _Halves:
    """Random matrices in F16."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)

    def add(self, writer: gguf.GGUFWriter, name: str, size: tuple[int, int]) -> None:
        """Add a matrix; the standard deviation of its values is .02."""
        values = self._random.standard_normal(size, dtype=np.float32) * 0.02
        writer.add_tensor(name, values.astype(np.float16))


def _write(path: Path, shape: Shape, kind: str, matrices: _Blocks | _Halves) -> None:
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
    quick = isinstance(matrices, _Blocks)
    kinds = gguf.LlamaFileType
    writer.add_file_type(kinds.MOSTLY_Q8_0 if quick else kinds.MOSTLY_F16)
    if kind != "lm":
        writer.add_pooling_type(gguf.PoolingType.LAST if kind == "embed" else gguf.PoolingType.NONE)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    added = [_rare(i) for i in range(padding)]
    writer.add_token_list(tokens + added)
    writer.add_token_types(types + [gguf.TokenType.NORMAL] * padding)
    merges = field["tokenizer.ggml.merges"].contents()
    writer.add_token_merges(merges + [f"{word[:-1]} {word[-1]}" for word in added])
    writer.add_eos_token_id(field["tokenizer.ggml.eos_token_id"].contents())
    writer.add_add_eos_token(kind == "embed")
    _add_tensors(writer, shape, matrices)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    path.with_suffix(".part").rename(path)


def _rare(number: int) -> str:
    """A token of the usual length that occurs in no text."""
    letters = "jkqvwxyz"
    return "qj" + "".join(letters[number >> shift & 7] for shift in range(15, -1, -3))


def _add_tensors(writer: gguf.GGUFWriter, shape: Shape, tensors: _Blocks | _Halves) -> None:
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

    tensors.add(writer, "token_embd.weight", (shape.vocabulary, shape.dims))
    if not shape.tied:
        tensors.add(writer, "output.weight", (shape.vocabulary, shape.dims))
    writer.add_tensor("output_norm.weight", np.ones(shape.dims, dtype=np.float32))
    for layer in range(shape.layers):
        for name, size in matrices.items():
            tensors.add(writer, f"blk.{layer}.{name}.weight", size)
        for name, length in norms.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(length, dtype=np.float32))
