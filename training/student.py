"""A small qwen3 model in PyTorch, computed as by llama.cpp, and its initial weights.

RMSNorm, per-head q/k norm, NEOX rotary positions, SwiGLU, tied embeddings, causal attention.
Of the 256 dims of the residual, 240 are for meaning and 16 for bookkeeping (the constants below):
the weights are initialized so that pooling, the query marker and, in the reranker, the product of
query and document work before training.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEANING = 240  # the first dims
CONST, RARITY = 240, 241
MARK_IN = 242  # 4 dims: the token is Instruct, Query, Document, </think>
MARK_SEEN = 246  # 2 dims: Instruct or Query came before (shares that sum to 4)
SUPPRESS, SCORE, END = 250, 251, 252
PART = 253  # 3 dims, reranker only: Query, Document, </think> came before (the same)
POOL = 2  # the layer that pools, in an embedder
SLOT0, SLOT1 = 31, 30  # head dims that rotate slowest, nearly independent of the position


@dataclass
class Config:
    """Sizes; heads * head_size need not equal dims, but does here."""

    tokens: int
    dims: int = 256
    layers: int = 3
    heads: int = 4
    head_size: int = 64
    hidden: int = 512
    rope_base: float = 1e6
    eps: float = 1e-6


class _Scale(torch.autograd.Function):
    """x / rms(x) * weight with few passes over memory; twice as fast as the plain formula."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, kind: torch.dtype) -> Tensor:
        square = torch.linalg.vecdot(x, x).float()[..., None]
        inverse = torch.rsqrt(square / x.shape[-1] + eps)
        unit = (x * inverse).to(kind)
        ctx.save_for_backward(unit, inverse, weight)
        ctx.kind = x.dtype
        return unit * weight.to(kind)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        unit, inverse, weight = ctx.saved_tensors
        size = unit.shape[-1]
        own = (grad * unit).reshape(-1, size).sum(0, dtype=torch.float32)
        grad = grad * weight.to(grad.dtype)
        along = torch.linalg.vecdot(grad, unit)[..., None] / size
        given = torch.addcmul(grad, unit, along, value=-1) * inverse
        return given.to(ctx.kind), own, None, None


class Norm(nn.Module):
    """x / rms(x) * weight over the last axis; the result has the type that matrices run in."""

    def __init__(self, dims: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dims))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Any shape (..., dims) to the same."""
        low = torch.is_autocast_enabled(x.device.type)
        if x.is_cuda:  # one kernel there
            made = F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)
            return made.to(torch.bfloat16) if low else made
        return _Scale.apply(x, self.weight, self.eps, torch.bfloat16 if low else torch.float32)


Cache = tuple[Tensor, Tensor]


def low(device: torch.device) -> torch.autocast:
    """Matrices in bfloat16, within a `with`."""
    return torch.autocast(device.type, torch.bfloat16)


class Layer(nn.Module):
    """One block: attention, then SwiGLU, each after a norm and added to the residual."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads, size = config.heads, config.head_size
        inner = config.heads * size
        self.attn_norm = Norm(config.dims, config.eps)
        self.ffn_norm = Norm(config.dims, config.eps)
        self.attn_q_norm = Norm(size, config.eps)
        self.attn_k_norm = Norm(size, config.eps)
        self.attn_q = nn.Linear(config.dims, inner, bias=False)
        self.attn_k = nn.Linear(config.dims, inner, bias=False)
        self.attn_v = nn.Linear(config.dims, inner, bias=False)
        self.attn_output = nn.Linear(inner, config.dims, bias=False)
        self.ffn_gate = nn.Linear(config.dims, config.hidden, bias=False)
        self.ffn_up = nn.Linear(config.dims, config.hidden, bias=False)
        self.ffn_down = nn.Linear(config.hidden, config.dims, bias=False)
        for matrix in (self.attn_q, self.attn_k, self.attn_v, self.ffn_gate, self.ffn_up):
            nn.init.normal_(matrix.weight, std=1 / 16)
        for matrix in (self.attn_output, self.ffn_down):
            nn.init.normal_(matrix.weight, std=0.002)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, past: Cache | None, ends: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """x (batch, time, dims); cos, sin (time, head_size / 2); past (1, heads, before, size).

        With `ends`, the place of each row's last token, only their states are computed:
        (batch, 1, dims).
        """
        batch, time, _ = x.shape

        def split(y: Tensor) -> Tensor:
            return y.view(batch, y.shape[1], self.heads, -1).transpose(1, 2)

        h = self.attn_norm(x)
        k = rotate(self.attn_k_norm(split(self.attn_k(h))), cos, sin)
        v = split(self.attn_v(h))
        mask, before = None, past[0].shape[2] if past else 0
        if ends is not None:
            places = torch.arange(before + time, device=x.device)
            mask = places <= before + ends[:, None, None, None]
            rows = torch.arange(batch, device=x.device)
            x, h = x[rows, ends][:, None], h[rows, ends][:, None]
            cos, sin = cos[ends][:, None, None], sin[ends][:, None, None]
        elif past:
            mask = torch.ones(time, before + time, dtype=torch.bool, device=x.device).tril(before)
        q = rotate(self.attn_q_norm(split(self.attn_q(h))), cos, sin)
        full_k, full_v = k, v
        if past:
            full_k = torch.cat([past[0].expand(batch, -1, -1, -1), k], dim=2)
            full_v = torch.cat([past[1].expand(batch, -1, -1, -1), v], dim=2)
        y = attend(q, full_k, full_v, mask)
        x = x + self.attn_output(y.transpose(1, 2).reshape(batch, x.shape[1], -1))
        h = self.ffn_norm(x)
        x = x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))
        return x, (k, v)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of q (batch, heads, time, size) to k and v; mask: what is seen, None: causal."""
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
    # On a CPU the fused function's backward pass is slow: up to 300 tokens this is up to four times
    # as fast.
    if mask is None:
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return scores.masked_fill(~mask, float("-inf")).softmax(-1, dtype=scores.dtype) @ v


class _Rotate(torch.autograd.Function):
    """The pairs (a, b) of the halves of the last axis turned by their angles, in four passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(grad, cos, sin, -1), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    (a, b), out = x.chunk(2, dim=-1), torch.empty_like(x, memory_format=torch.contiguous_format)
    left, right = out.chunk(2, dim=-1)
    torch.mul(a, cos, out=left).addcmul_(b, sin, value=-sign)
    torch.mul(b, cos, out=right).addcmul_(a, sin, value=sign)
    return out


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """NEOX rotary positions: pairs are (i, i + half)."""
    return _Rotate.apply(x, cos.to(x.dtype), sin.to(x.dtype))


class Student(nn.Module):
    """Token ids to final hidden states (after the output norm)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.tokens, config.dims)
        self.blk = nn.ModuleList([Layer(config) for _ in range(config.layers)])
        self.output_norm = Norm(config.dims, config.eps)
        half = config.head_size // 2
        frequencies = config.rope_base ** (-torch.arange(half) / half)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def run(
        self, ids: Tensor, past: list[Cache] | None = None, ends: Tensor | None = None
    ) -> tuple[Tensor, list[Cache]]:
        """ids (batch, time) to residuals (batch, time, dims) and this call's keys and values.

        With `ends`, the last layer runs for these places only: (batch, 1, dims).
        """
        start = past[0][0].shape[2] if past else 0
        places = torch.arange(start, start + ids.shape[1], device=ids.device)
        angles = torch.outer(places.float(), self.frequencies)
        cos, sin = angles.cos(), angles.sin()
        x, caches = self.token_embd(ids), []
        for place, layer in enumerate(self.blk):
            here = ends if place == len(self.blk) - 1 else None
            x, cache = layer(x, cos, sin, past[place] if past else None, here)
            caches.append(cache)
        return x, caches

    def last(self, ids: Tensor, lengths: Tensor, past: list[Cache] | None = None) -> Tensor:
        """The output-normed state of each row's last token, (batch, dims); padding is right."""
        x, _ = self.run(ids, past, lengths - 1)
        return self.output_norm(x[:, 0])


def pad(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Rows of ids to (rows, longest) padded on the right with 0, and their lengths."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
    return ids, lengths


def save(model: Student, path: Path) -> None:
    """Write the checkpoint through a temporary name."""
    temporary = path.with_suffix(".part")
    torch.save({"config": asdict(model.config), "weights": model.state_dict()}, temporary)
    temporary.replace(path)


def load(path: Path) -> Student:
    """Read what `save` wrote, or a GGUF file that export.py wrote, as good as Q8_0 has it."""
    if path.suffix == ".gguf":
        return _from_gguf(path)
    kept = torch.load(path, weights_only=True)
    model = Student(Config(**kept["config"]))
    model.load_state_dict(kept["weights"])
    return model


def _from_gguf(path: Path) -> Student:
    import gguf

    tensors = gguf.GGUFReader(path).tensors
    weights = {
        tensor.name: torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        for tensor in tensors
    }
    layers = sum(name.endswith("attn_q.weight") for name in weights)
    model = Student(Config(tokens=len(weights["token_embd.weight"]), layers=layers))
    model.load_state_dict(weights)
    return model


def begin(
    config: Config, meaning: Tensor, rarity: Tensor, end: int, instruct: int, query: int
) -> Student:
    """A student that embeds without training: the rarity-weighted mean of token vectors.

    meaning: (tokens, MEANING), any row norms; rarity: (tokens,) from 0 (common) to 1 (rare).
    end, instruct, query: ids of the end token and of the (last pieces of the) two words that open
    the instruction and the query of a prompt.
    """
    model = Student(config)
    table = torch.zeros(config.tokens, config.dims)
    table[:, :MEANING] = F.normalize(meaning, dim=1) * 15
    table[:, CONST], table[:, RARITY] = 4, 4 * rarity
    table[end] = 0
    table[end, CONST], table[end, END] = 4, 4
    for place, token in enumerate((instruct, query)):
        table[token, MARK_IN + place] = 8
    model.token_embd.weight.data = table
    mark_seen(model.blk[0], range(MARK_IN, MARK_IN + 2), range(MARK_SEEN, MARK_SEEN + 2))
    suppress(model.blk[0])
    for layer in model.blk[:-1]:
        look_back(layer, head=1, distance=1)
    look_back(model.blk[0], head=2, distance=2)
    pool(model.blk[-1])
    model.output_norm.weight.data[MEANING:] = 0
    return model


def mark_seen(layer: Layer, marks: range, seen: range) -> None:
    """Head 0 attends to the previous marker tokens (residual dims `marks`) and writes to dims
    `seen`."""
    for norm in (layer.attn_q_norm, layer.attn_k_norm):
        norm.weight.data[[SLOT0, SLOT1]] = 1.5
    q, k, v, o = (
        m.weight.data for m in (layer.attn_q, layer.attn_k, layer.attn_v, layer.attn_output)
    )
    q[:64], k[:64] = 0, 0
    q[SLOT1, CONST], k[SLOT0, CONST] = 1, 1
    for place, (mark, answer) in enumerate(zip(marks, seen, strict=True)):
        v[place], o[:, place] = 0, 0
        k[SLOT1, mark] = 4
        v[place, mark] = 1 / 8
        o[answer, place] = 4


def suppress(layer: Layer) -> None:
    """The first hidden unit is active inside the instruction: after Instruct, before Query.

    A document that only contains "Query" is not affected.
    """
    gate, up, down = (m.weight.data for m in (layer.ffn_gate, layer.ffn_up, layer.ffn_down))
    gate[0], up[0], down[:, 0] = 0, 0, 0
    gate[0, MARK_SEEN], gate[0, MARK_SEEN + 1], up[0, CONST] = 1, -1, 1 / 4
    down[SUPPRESS, 0] = 1


def look_back(layer: Layer, head: int, distance: int) -> None:
    """A head that attends to the token `distance` before, by the four fastest rotary pairs."""
    first, half = head * 64, 32
    for norm in (layer.attn_q_norm, layer.attn_k_norm):
        norm.weight.data[[0, 1, 2, 3, half, half + 1, half + 2, half + 3]] = 1.5
    q, k = layer.attn_q.weight.data, layer.attn_k.weight.data
    q[first : first + 64], k[first : first + 64] = 0, 0
    for pair in range(4):
        angle = torch.tensor(distance * 1e6 ** (-pair / half))
        q[first + pair, CONST] = 1
        k[first + pair, CONST] = angle.cos()
        k[first + pair + half, CONST] = angle.sin()


def pool(layer: Layer) -> None:
    """All heads: the end token averages the others, with more weight for rare tokens and less for
    those of the prompt."""
    q, k, v, o = (
        m.weight.data for m in (layer.attn_q, layer.attn_k, layer.attn_v, layer.attn_output)
    )
    q.zero_(), k.zero_()
    for first in range(0, 256, 64):
        q[first + SLOT1, END] = 1
        k[first + SLOT0, CONST], k[first + SLOT1, RARITY] = 1, 0.6
        k[first + SLOT1, SUPPRESS], k[first + SLOT1, END] = -1.5, -3
    v.copy_(torch.eye(256)), o.copy_(torch.eye(256))
    v[MEANING:] = 0
    o.add_(torch.randn_like(o) * 0.002)
