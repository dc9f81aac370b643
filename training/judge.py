"""The reranker's teacher: a cross-encoder, fine-tuned on the pairs from the embedder's teacher."""

import copy
import time
from collections.abc import Callable

import e5
import numpy as np
import student
import torch
from corpus import Corpus, say
from numpy.typing import NDArray
from rows import Numbers, cut, join, run
from schedule import Schedule
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 8  # documents in a list, the positive first
MARGIN = 0.03  # as in distil_embedder.py
AREA = 1 << 16


class Judge(nn.Module):
    """The cross-encoder: token ids of <s> query </s> </s> document </s> -> a logit."""

    def __init__(self, encoder: e5.Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.dense, self.score = nn.Linear(e5.DIMS, e5.DIMS), nn.Linear(e5.DIMS, 1)
        nn.init.normal_(self.score.weight, std=0.02)
        nn.init.zeros_(self.score.bias)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """(batch,) logits."""
        x = self.encoder(ids, lengths).float()
        there = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        mean = (x * there[..., None]).sum(1) / lengths[:, None]
        return self.score(torch.tanh(self.dense(mean)))[:, 0].float()


def lists(data: Corpus, pairs: Numbers, rng: np.random.Generator) -> Numbers:
    """Documents of shape (pairs, SIZE): the positive, up to 3 given negatives, hard negatives, and
    a random one."""
    near = np.sort(rng.random((len(pairs), data.near.shape[1])).argsort(1)[:, : SIZE - 2], axis=1)
    made = np.empty((len(pairs), SIZE), dtype=np.int64)
    made[:, 0] = data.d[pairs]
    made[:, 1:-1] = data.near[pairs[:, None], near]
    made[:, -1] = data.d[rng.integers(0, len(data.d), len(pairs))]
    for place, pair in enumerate(pairs):
        if wrong := data.wrong.get(int(pair)):
            some = rng.permutation(wrong)[:3]
            made[place, 1 : 1 + len(some)] = some
    return made


def cosines(data: Corpus, pairs: Numbers, docs: Numbers) -> Tensor:
    """(pairs, SIZE) cosines of the teacher's vectors."""
    asked = data.query_vectors[torch.from_numpy(pairs).to(data.device)].float()
    given = data.doc_vectors[torch.from_numpy(docs).to(data.device)].float()
    return (asked[:, None] * given).sum(2)


def scores(model: Judge, data: Corpus, pairs: Numbers, docs: Numbers, most: int) -> Tensor:
    """(pairs, SIZE) logits."""
    asked = np.repeat(cut(data.teacher_asked[pairs], 64), docs.shape[1], axis=0)
    first, last = data.marks
    given = cut(data.teacher_given[docs.ravel()], most)
    rows = join(first, asked, last, last, given, last)
    return run(data.teacher_tokens, rows, model, AREA).view(docs.shape)


def losses(logits: Tensor, cosine: Tensor) -> Tensor:
    """Listwise and binary cross-entropy, shape (3,); the third value is only for the log.
    Documents as near to the query as the positive, by cosine, are masked."""
    alike = cosine > cosine[:, :1] - MARGIN
    alike[:, 0] = False
    masked = logits.masked_fill(alike, -1e4)
    right = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    gold = F.one_hot(right, logits.shape[1]).float()
    weight = (~alike).float() * torch.where(gold > 0, float(logits.shape[1] - 1), 1.0) * 0.5
    binary = F.binary_cross_entropy_with_logits(logits, gold, weight=weight)
    wrong = 1 - (masked.detach().argmax(1) == 0).float().mean()  # for the log; no gradient
    return torch.stack([F.cross_entropy(masked, right), 0.3 * binary, wrong])


def train(data: Corpus, plan: Schedule, size: int) -> Judge:
    """Fine-tune until the plan's end; the token embeddings are frozen."""
    model = Judge(copy.deepcopy(data.teacher)).to(data.device)
    model.encoder.word.weight.requires_grad_(False)
    shares = np.cumsum(data.weights(lists=True))
    rng = np.random.default_rng(5)

    def step() -> Tensor:
        pairs = np.searchsorted(shares, rng.random(plan.size))
        docs = lists(data, pairs, rng)
        with student.low(data.device):
            logits = scores(model, data, pairs, docs, int(rng.choice((96, 160, 256))))
        return losses(logits, cosines(data, pairs, docs))

    plan.train(model, step, size, lambda: None)
    return model


class Judged:
    """Lists with the cross-encoder's logits and the teacher's cosines, as many as can be scored
    until `end`; the first `held` are held out."""

    def __init__(self, model: Judge, data: Corpus, end: float, size: int) -> None:
        rng = np.random.default_rng(6)
        model.eval()
        shares = np.cumsum(data.weights(lists=True))
        held = np.flatnonzero(data.held & (data.source != "span"))
        held = rng.permutation(held)[:1024]
        self.pairs, self.docs = held, lists(data, held, rng)
        parts = [self._score(model, data, self.pairs, self.docs)]
        self.held = len(held)
        while len(parts) == 1 or time.perf_counter() < end:
            pairs = np.searchsorted(shares, rng.random(size))
            docs = lists(data, pairs, rng)
            parts.append(self._score(model, data, pairs, docs))
            self.pairs = np.concatenate([self.pairs, pairs])
            self.docs = np.concatenate([self.docs, docs])
        self.logits = torch.cat(parts)
        self.cosine = cosines(data, self.pairs, self.docs)
        self.goal = 0.5 * self.logits + 0.5 * self.cosine / 0.05
        say(f"{len(self.pairs)} lists; the positive comes first in "
            + ", ".join(f"{name} {self.right(value):.3f}" for name, value in (
                ("logit", self.logits), ("cosine", self.cosine), ("both", self.goal))))  # fmt: skip

    def _score(self, model: Judge, data: Corpus, pairs: Numbers, docs: Numbers) -> Tensor:
        with torch.inference_mode(), student.low(data.device):
            parts = [
                scores(model, data, pairs[start : start + 512], docs[start : start + 512], 256)
                for start in range(0, len(pairs), 512)
            ]
        return torch.cat(parts)

    def right(self, values: Tensor) -> float:
        """The share of held-out lists in which the positive has the highest value."""
        return float((values[: self.held].argmax(1) == 0).float().mean())


def shuffled(count: int, size: int, rng: np.random.Generator) -> Callable[[], NDArray[np.int64]]:
    """A function that draws `size` numbers below `count`, without repetition within an epoch."""
    state = {"order": rng.permutation(count), "place": 0}

    def draw() -> NDArray[np.int64]:
        if state["place"] + size > count:
            state["order"], state["place"] = rng.permutation(count), 0
        state["place"] += size
        return state["order"][state["place"] - size : state["place"]]

    return draw
