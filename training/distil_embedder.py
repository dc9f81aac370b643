"""Training the embedder on a GPU: distillation from the teacher with large batches.

Loss: 1 - cosine to the teacher's vector, rotated into the student's axes; cross-entropy between the
teacher's and the student's similarities of all queries to all documents of the batch (with all 256
dims, the first 128, and the first 64), and between documents; contrastive cross-entropy on the
pairs. Each pair has one hard negative.
"""

from collections.abc import Callable

import numpy as np
import student
import torch
from corpus import Corpus, say
from numpy.typing import NDArray
from rows import Numbers, cut, join, run
from schedule import Schedule
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.05
AXES = 240  # principal axes of the teacher: as many as the student has dims of meaning
PREFIXES = {256: 1.0, 128: 0.4, 64: 0.4}
MARGIN = 0.03  # documents whose teacher cosine is within this of the pair's own are no negatives
AREA = 1 << 17


def embed(model: student.Student, data: Corpus, texts: Numbers, most: int) -> Tensor:
    """Unit float32 vectors of texts truncated to `most` tokens, of shape (texts, 256)."""
    rows = join(cut(texts, most), data.end)
    return F.normalize(run(data.tokens, rows, model.last, AREA).float(), dim=1)


def axes(model: student.Student, data: Corpus, most: int = 20000) -> Tensor:
    """The teacher's principal axes, of shape (384, 256), rotated to be nearest to the student's
    vectors (orthogonal Procrustes)."""
    rng = np.random.default_rng(3)
    some = rng.choice(len(data.docs), min(most, len(data.docs)), replace=False)
    with torch.inference_mode(), student.low(data.device):
        mine = embed(model, data, data.given[some], 128)[:, :AXES]
    theirs = data.doc_vectors[torch.from_numpy(some).to(data.device)].float()
    _, basis = torch.linalg.eigh((theirs.T @ theirs).cpu())
    basis = basis[:, -AXES:].to(data.device)
    kept = theirs @ basis
    left, _, right = torch.linalg.svd((kept.T @ mine).cpu())
    turned = basis @ (left @ right).to(data.device)
    made = torch.zeros(len(basis), model.config.dims, device=data.device)
    made[:, :AXES] = turned
    cosine = (F.normalize(theirs @ turned, dim=1) * mine).sum(1).mean()
    say(
        f"axes keep {float((kept**2).sum(1).mean()):.3f}; cosine to the student {float(cosine):.3f}"
    )
    return made


def relation(mine: Tensor, theirs: Tensor) -> Tensor:
    """The mean KL divergence between the rows of two similarity matrices, after a softmax."""
    goal = (theirs / TEMPERATURE).softmax(1)
    found = F.cross_entropy(mine / TEMPERATURE, goal)
    return found + (goal * goal.clamp_min(1e-9).log()).sum(1).mean()


def losses(
    data: Corpus, turned: Tensor, pairs: Tensor, docs: Tensor, q: Tensor, d: Tensor
) -> Tensor:
    """The four losses, shape (4,). Query i (row of q) belongs to document i (row of d); pairs and
    docs are their numbers."""
    asked, given = data.query_vectors[pairs].float(), data.doc_vectors[docs].float()
    distil = sum(
        (1 - (F.normalize(theirs @ turned, dim=1) * mine).sum(1)).mean()
        for mine, theirs in ((q, asked), (d, given))
    )
    theirs = asked @ given.T
    related = torch.zeros((), device=q.device)
    for dims, weight in PREFIXES.items():
        mine = F.normalize(q[:, :dims], dim=1) @ F.normalize(d[:, :dims], dim=1).T
        related = related + weight * relation(mine, theirs)
    some = min(len(d), 2048)
    own = torch.eye(some, dtype=torch.bool, device=q.device)
    among = relation(
        (d[:some] @ d[:some].T).masked_fill(own, -1),
        (given[:some] @ given[:some].T).masked_fill(own, -1),
    )
    gold = theirs.diagonal()[:, None]
    alike = (theirs > gold - MARGIN) | (docs[None, :] == docs[: len(q), None])
    alike.fill_diagonal_(False)
    scores = (q @ d.T / TEMPERATURE).masked_fill(alike, -1e4)
    contrast = F.cross_entropy(scores, torch.arange(len(q), device=q.device))
    return torch.stack([distil, related, 0.5 * among, 0.3 * contrast])


def draw(
    data: Corpus, shares: NDArray[np.float64], rng: np.random.Generator, size: int
) -> tuple[Numbers, Numbers]:
    """Draw `size` pairs; returns their numbers, and documents: the positives, then a hard negative
    each, then random ones."""
    pairs = np.searchsorted(shares, rng.random(size))
    near = data.near[pairs, rng.integers(0, data.near.shape[1], size)]
    other = rng.integers(0, len(data.docs), size // 2)
    return pairs, np.concatenate([data.d[pairs], near, other]).astype(np.int64)


def train(
    model: student.Student, data: Corpus, plan: Schedule, size: int, save: Callable[[], None]
) -> None:
    """Train until the plan's end; save is called regularly."""
    turned = axes(model, data)
    shares = np.cumsum(data.weights(lists=False))
    rng = np.random.default_rng(4)

    def step() -> Tensor:
        pairs, docs = draw(data, shares, rng, plan.size)
        most = int(rng.choice((128, 256, 400)))
        with student.low(data.device):
            q = embed(model, data, data.asked[pairs], 96)
            d = embed(model, data, data.given[docs], most)
        device = data.device
        return losses(
            data,
            turned,
            torch.from_numpy(pairs).to(device),
            torch.from_numpy(docs).to(device),
            q,
            d,
        )

    plan.train(model, step, size, save)
