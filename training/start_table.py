"""Solve for the token vectors whose weighted sums are nearest to the teacher's text vectors.

Ridge regression by conjugate gradients: minimise, over W (tokens, dims), the squared error of
X W against the teacher's unit vectors plus `ridge` times the squared distance of W from a prior,
the teacher's own vector of each token's text (whitened; random for pieces of characters). Row i
of X has SIF weights of text i's tokens, scaled to length 1. Row norms of W become the pooling
weights ("rarity"), since the student's RMSNorm keeps only directions.

Writes start.npz: meaning (tokens, dims) float32 and rarity (tokens,) float32 in 0..1.
"""

import argparse
from pathlib import Path

import numpy as np
import student
from numpy.typing import NDArray
from scipy import sparse
from train_embedder import Data


def prior(vectors: NDArray[np.float32], sif: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centre and partly whiten vectors of shape (tokens, dims), and normalize the rows."""
    rng = np.random.default_rng(3)
    usable = np.abs(vectors).sum(1) > 0
    middle = (vectors[usable] * sif[usable, None]).sum(0) / sif[usable].sum()
    made = vectors - middle
    made /= np.sqrt(made[usable].std(0) * made[usable].std(0).max())
    made[~usable] = rng.standard_normal((int((~usable).sum()), vectors.shape[1]))
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def main() -> None:
    """Build X, solve by conjugate gradients, and write start.npz."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--ridge", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    data = Data(args.build)
    tokens = len(data.vocabulary["tokens"])
    known = np.flatnonzero(data.known.numpy())
    rows = [data.ids[place][:160] for place in known]
    widths = [len(row) for row in rows]
    flat = np.concatenate(rows).astype(np.int64)
    every = np.concatenate([np.asarray(row, dtype=np.int64) for row in data.ids])
    share = (np.bincount(every, minlength=tokens) + 1) / len(every)
    sif = (1e-3 / (1e-3 + share)).astype(np.float32)
    counts = sparse.csr_matrix(
        (sif[flat], (np.repeat(np.arange(len(rows)), widths), flat)), shape=(len(rows), tokens)
    )
    counts.sum_duplicates()
    norms = np.sqrt(counts.multiply(counts).sum(1)).A1
    x = sparse.diags((1 / np.maximum(norms, 1e-9)).astype(np.float32)) @ counts
    x, turned = x.tocsr(), x.T.tocsr()
    target = data.teacher.numpy()[known]
    table = prior(np.load(args.build / "tokens.npy"), sif)[:, : target.shape[1]] * 0.5
    residual = turned @ (target - x @ table)
    step, old = residual.copy(), (residual**2).sum(0)
    for place in range(args.rounds):
        along = turned @ (x @ step) + args.ridge * step
        size = old / (step * along).sum(0)
        table += size * step
        residual -= size * along
        new = (residual**2).sum(0)
        step, old = residual + new / old * step, new
        if place % 10 == 9:
            made = x @ table
            cosine = (made * target).sum(1) / np.linalg.norm(made, axis=1)
            print(f"round {place + 1}: mean cosine {cosine.mean():.4f}", flush=True)
    weight = np.log(np.maximum(np.linalg.norm(table, axis=1) * sif, 1e-9))
    rarity = np.clip(1 + (weight - np.percentile(weight, 98)) / 4, 0, 1)
    np.savez(
        args.build / "start.npz",
        meaning=table[:, : student.MEANING].astype(np.float32),
        rarity=rarity.astype(np.float32),
    )


if __name__ == "__main__":
    main()
