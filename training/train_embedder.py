"""Distil the teacher into the small embedder, starting from the table of start_table.py.

Loss per step, over about 200 texts: 1 - cosine to the teacher's projected vector; cross-entropy
between the rows of teacher's and student's similarity matrices; contrastive cross-entropy over
the supervised pairs (the only signal for languages the teacher does not know). Queries carry the
prompt of Qwen3-Embedding, documents do not; both end in <|endoftext|>.
"""

import argparse
import json
import math
import random
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import student
import torch
import vocabulary
from torch import Tensor
from torch.nn import functional as F

PROMPT = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
)
# Shares of the pairs in a step.
MIX = {
    "squad-sentences": 0.24,
    "wordnet": 0.14,
    "man": 0.08,
    "tldr-en": 0.12,
    "nl2bash": 0.04,
    "wikiqa": 0.05,
    "trecqa": 0.02,
    "covidfact": 0.05,
    "healthver": 0.06,
    "policyqa": 0.02,
    "cosqa": 0.02,
    "mbpp": 0.01,
    "concode-java": 0.02,
    "jaquad": 0.05,
    "tquad": 0.03,
    "tldr-multi": 0.05,
}
TEMPERATURE = 0.05


class Data:
    """The build folder in memory: token ids, teacher vectors (zero where unknown), pairs."""

    def __init__(self, build: Path) -> None:
        self.vocabulary = vocabulary.load(build / "vocabulary.json")
        lines = (build / "texts.jsonl").read_text(encoding="utf-8").splitlines()
        self.texts = [json.loads(line)["text"] for line in lines]
        self.sides = [json.loads(line)["side"] for line in lines]
        self.encode = vocabulary.tokenizer(self.vocabulary)
        self.end = vocabulary.special_ids(self.vocabulary)["<|endoftext|>"]
        prompt = self.encode.encode(PROMPT).ids
        self.head, self.colon = prompt[:-1], prompt[-1:]
        self.ids = [made.ids for made in self.encode.encode_batch(self.texts)]
        self.teacher = torch.from_numpy(np.load(build / "teacher.npy").astype(np.float32))
        for text, twin in json.loads((build / "twins.json").read_text(encoding="utf-8")):
            self.teacher[text] = self.teacher[twin]
        self.known = self.teacher.abs().sum(1) > 0
        self.pairs: dict[str, list[dict]] = defaultdict(list)
        for line in (build / "pairs.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            self.pairs[row["source"]].append(row)
        paired = {row[side] for rows in self.pairs.values() for row in rows for side in "qd"}
        self.singles = [place for place in range(len(self.texts)) if place not in paired]

    def query(self, place: int, most: int) -> list[int]:
        """Ids of a query after `self.head`, whose last token, the colon, may join the text.

        The whole string is tokenised at once, now and then prompt and text apart.
        """
        if random.random() < 0.2:
            return self.colon + self.ids[place][:most] + [self.end]
        ids = self.encode.encode(PROMPT + self.texts[place]).ids
        return ids[len(self.head) :][: most + 1] + [self.end]

    def document(self, place: int, most: int) -> list[int]:
        """Ids of a document."""
        return self.ids[place][:most] + [self.end]


def embed(
    model: student.Student, rows: list[list[int]], past: list[student.Cache] | None, parts: int
) -> Tensor:
    """Unit vectors (len(rows), dims) of rows that follow `past`, in `parts` groups by length."""
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    size = math.ceil(len(rows) / parts)
    made = []
    for start in range(0, len(rows), size):
        group = [rows[place] for place in order[start : start + size]]
        made.append(model.last(*student.pad(group), past))
    back = torch.empty(len(rows), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(rows))
    return F.normalize(torch.cat(made), dim=1)[back]


def losses(data: Data, queries: list[int], documents: list[int], out: Tensor) -> Tensor:
    """out: (queries + documents, dims), unit rows; query i belongs to document i."""
    pairs = len(queries)
    places = torch.tensor(queries + documents)
    target, known = data.teacher[places], data.known[places]
    mine, theirs = out[known], target[known]
    distil = (1 - (mine * theirs).sum(1)).mean()
    eye = torch.eye(len(mine), dtype=torch.bool)
    logits = (mine @ mine.T / TEMPERATURE).masked_fill(eye, -1e4)
    goal = (theirs @ theirs.T / TEMPERATURE).masked_fill(eye, -1e4).softmax(1)
    relation = F.cross_entropy(logits, goal) + (goal * goal.clamp_min(1e-9).log()).sum(1).mean()
    q, d = out[:pairs], out[len(queries) :]
    cosine = target[:pairs] @ target[len(queries) :].T
    gold = cosine.diagonal()[:, None]
    numbers = torch.tensor(documents)
    same = numbers[None, :] == numbers[:pairs, None]
    alike = (cosine > gold - 0.05) & (gold != 0) | same
    alike[torch.arange(pairs), torch.arange(pairs)] = False
    scores = (q @ d.T / TEMPERATURE).masked_fill(alike, -1e4)
    own = F.cross_entropy(scores, torch.arange(pairs), reduction="none")
    weight = torch.where(gold[:, 0] != 0, 0.3, 1.0)
    return torch.stack([3 * distil, relation, (own * weight).mean()])


def main() -> None:
    """Train for a given time; write checkpoints to the output as it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("out", type=Path, help="checkpoint to write")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--pairs", type=int, default=80, help="pairs a step")
    parser.add_argument("--singles", type=int, default=40, help="further texts a step")
    parser.add_argument("--most", type=int, default=112, help="longest document in tokens")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--table-rate", type=float, default=1.5e-3)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    random.seed(1)
    data = Data(args.build)
    if args.start:
        model = student.load(args.start)
    else:
        start = np.load(args.build / "start.npz")
        meaning, rarity = torch.from_numpy(start["meaning"]), torch.from_numpy(start["rarity"])
        words = [data.encode.encode(word).ids[-1] for word in ("Instruct", "Query")]
        config = student.Config(tokens=len(rarity), layers=args.layers)
        model = student.begin(config, meaning, rarity, data.end, *words)
    table = model.token_embd.weight
    others = [weight for weight in model.parameters() if weight is not table]
    optimiser = torch.optim.AdamW(
        [{"params": [table]}, {"params": others}], betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    rates = (args.table_rate, args.rate)
    names, shares = list(MIX), list(MIX.values())
    head = torch.tensor([data.head])
    begun, step, tokens, mean = time.time(), 0, 0, torch.zeros(3)
    while (part := (time.time() - begun) / (60 * args.minutes)) < 1:
        now = min(1, (step + 1) / 50) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * part)))
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * now
        drawn = [
            random.choice(data.pairs[name]) for name in random.choices(names, shares, k=args.pairs)
        ]
        queries = [row["q"] for row in drawn]
        documents = [row["d"] for row in drawn] + random.sample(data.singles, args.singles)
        asked = [data.query(place, 40) for place in queries]
        given = [data.document(place, args.most) for place in documents]
        with torch.autocast("cpu", torch.bfloat16):
            _, past = model.run(head)
            out = torch.cat([embed(model, asked, past, 2), embed(model, given, None, 3)])
        parts = losses(data, queries, documents, out.float())
        parts.sum().backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        mean = mean * 0.98 + parts.detach() * 0.02 if step else parts.detach()
        tokens += sum(map(len, asked + given))
        step += 1
        if step % 50 == 0 or step in (1, 10):
            rate = tokens / (time.time() - begun)
            losses_now = " ".join(f"{value:.3f}" for value in mean.tolist())
            print(f"step {step} {100 * part:.0f} % {losses_now} {rate:.0f} tokens/s", flush=True)
        if step % 100 == 0:
            student.save(model, args.out)
    student.save(model, args.out)


if __name__ == "__main__":
    main()
