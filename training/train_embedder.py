"""Distil the teacher into the small embedder, starting from the table of start_table.py.

Loss per step, over about 200 texts: 1 - cosine to the teacher's projected vector; cross-entropy
between the rows of teacher's and student's similarity matrices; contrastive cross-entropy over
the supervised pairs (the only signal for languages the teacher does not know). Queries carry the
prompt of Qwen3-Embedding, documents do not; both end in <|endoftext|>.
"""

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path

import loop
import numpy as np
import student
import torch
import vocabulary
from torch import Tensor
from torch.nn import functional as F

PROMPT = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
)
# The share of each source in the pairs of a step.
MIX = {
    "squad-sentences": 0.15,
    "wordnet": 0.09,
    "package": 0.08,
    "doc": 0.10,
    "dictionary": 0.08,
    "python": 0.08,
    "ontology": 0.05,
    "icd": 0.02,
    "man": 0.03,
    "tldr-en": 0.06,
    "nl2bash": 0.03,
    "wikiqa": 0.03,
    "trecqa": 0.01,
    "covidfact": 0.03,
    "healthver": 0.04,
    "policyqa": 0.01,
    "cosqa": 0.01,
    "mbpp": 0.01,
    "concode-java": 0.01,
    "jaquad": 0.04,
    "tquad": 0.02,
    "tldr-multi": 0.02,
}
UNTAUGHT = ("jaquad", "tquad", "tldr-multi")  # languages that the teacher does not know
TEMPERATURE = 0.05
LONG = 64  # tokens, of a short passage; most of the texts are shorter
GROUP = 8192  # tokens in a forward pass


class Data:
    """The build folder in memory: token ids, teacher vectors (zero where unknown), pairs."""

    def __init__(self, build: Path) -> None:
        self.vocabulary = vocabulary.load(build / "vocabulary.json")
        lines = (build / "texts.jsonl").read_text(encoding="utf-8").splitlines()
        self.texts = [json.loads(line)["text"] for line in lines]
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
            if row["source"] in UNTAUGHT or (self.known[row["q"]] and self.known[row["d"]]):
                self.pairs[row["source"]].append(row)
        taught = self.known.nonzero()[:, 0]
        self.taught = taught[
            torch.randperm(len(taught), generator=torch.Generator().manual_seed(1))
        ]
        sizes = torch.tensor([len(row) for row in self.ids])
        self.long = self.taught[sizes[self.taught] >= LONG]

    def query(self, place: int, most: int) -> list[int]:
        """Ids of a query after `self.head`, from the colon on, which may share a token with it.

        Mostly the whole string is tokenized together, sometimes prompt and text separately.
        """
        if random.random() < 0.2:
            return self.colon + self.ids[place][:most] + [self.end]
        ids = self.encode.encode(PROMPT + self.texts[place]).ids
        return ids[len(self.head) :][: most + 1] + [self.end]

    def document(self, place: int, most: int) -> list[int]:
        """Ids of a document."""
        return self.ids[place][:most] + [self.end]

    def neighbours(self, texts: Tensor, seeds: int, size: int) -> list[int]:
        """`seeds` clusters of texts: the `size` nearest of a random one, by the teacher, among
        50,000."""
        first = random.randrange(max(1, len(texts) - 50_000))
        pool = texts[first : first + 50_000]
        chosen = pool[torch.tensor(random.sample(range(len(pool)), seeds))]
        near = self.teacher[chosen] @ self.teacher[pool].T
        return pool[near.topk(size).indices.flatten()].tolist()


def last_states(
    model: student.Student, rows: list[list[int]], past: list[student.Cache] | None
) -> Tensor:
    """The last states of rows after `past`, float32 of shape (len(rows), dims); rows are computed
    in groups of similar length."""
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    made, start = [], 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * len(rows[order[stop]]) <= GROUP:
            stop += 1
        made.append(model.last(*student.pad([rows[place] for place in order[start:stop]]), past))
        start = stop
    back = torch.empty(len(rows), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(rows))
    return torch.cat(made).float()[back]


def losses(data: Data, queries: list[int], documents: list[int], out: Tensor) -> Tensor:
    """The three losses, shape (3,). out: unit vectors of shape (queries + documents, dims); query
    i belongs to document i."""
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


def grow(model: student.Student, layers: int) -> student.Student:
    """The model with more layers at the end, which initially change almost nothing."""
    made = student.Student(student.Config(**{**vars(model.config), "layers": layers}))
    made.load_state_dict(model.state_dict(), strict=False)
    return made


def main() -> None:
    """Train; the same call again resumes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("out", type=Path, help="checkpoint to write")
    parser.add_argument("--pairs", type=int, default=72, help="pairs a step")
    parser.add_argument("--clusters", type=int, default=3, help="of 24 texts a step")
    parser.add_argument("--long", type=int, default=3, help="further ones, of long texts alone")
    parser.add_argument("--most", type=int, default=288, help="longest document in tokens")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--start", type=Path, help="embedder to go on from, .pt or .gguf")
    loop.options(parser, rate=1e-3, table_rate=1.5e-3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data = Data(args.build)
    if args.start:
        model = student.load(args.start)
    else:
        start = np.load(args.build / "start.npz")
        meaning, rarity = torch.from_numpy(start["meaning"]), torch.from_numpy(start["rarity"])
        words = [data.encode.encode(word).ids[-1] for word in ("Instruct", "Query")]
        config = student.Config(tokens=len(rarity), layers=student.POOL + 1)
        model = student.begin(config, meaning, rarity, data.end, *words)
    model = grow(model, args.layers)
    mix = {name: share for name, share in MIX.items() if data.pairs[name]}
    print({name: len(data.pairs[name]) for name in mix}, len(data.taught), flush=True)
    head = torch.tensor([data.head])

    def step() -> Tensor:
        drawn = [
            random.choice(data.pairs[name])
            for name in random.choices(list(mix), list(mix.values()), k=args.pairs)
        ]
        queries = [row["q"] for row in drawn]
        documents = [row["d"] for row in drawn]
        documents += data.neighbours(data.taught, args.clusters, 24)
        documents += data.neighbours(data.long, args.long, 24)
        asked = [data.query(place, 40) for place in queries]
        given = [data.document(place, args.most) for place in documents]
        with torch.autocast("cpu", torch.bfloat16):
            _, past = model.run(head)
            states = last_states(model, asked, past), last_states(model, given, None)
        return losses(data, queries, documents, F.normalize(torch.cat(states), dim=1))

    loop.train(model, args.out, args, step)


if __name__ == "__main__":
    main()
