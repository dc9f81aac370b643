"""Distil the teacher into the small embedder, starting from the table of start_table.py.

Loss per step, over about 200 texts: 1 - cosine to the teacher's projected vector; cross-entropy
between the rows of teacher's and student's similarity matrices; contrastive cross-entropy over
the supervised pairs (the only signal for languages the teacher does not know). Queries carry the
prompt of Qwen3-Embedding, documents do not; both end in <|endoftext|>.

With --hard (focus.py makes the texts), each pair brings documents that look right to BM25, and the
similarities are those of queries to documents: what a search has to tell apart.
"""

import argparse
import json
import random
import re
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
# The same for training on hard documents: what has labels first.
HARD_MIX = {
    "squad-sentences": 0.25,
    "nl2bash": 0.08,
    "doc": 0.08,
    "python": 0.07,
    "wikiqa": 0.05,
    "package": 0.05,
    "healthver": 0.05,
    "ontology": 0.04,
    "policyqa": 0.04,
    "covidfact": 0.04,
    "tldr-en": 0.03,
    "cosqa": 0.03,
    "mbpp": 0.02,
    "concode-java": 0.02,
    "trecqa": 0.02,
    "dictionary": 0.02,
    "man": 0.01,
    "wordnet": 0.01,
    "tquad": 0.02,
    "own-es": 0.02,
    "own-tr": 0.02,
    "own-de": 0.01,
    "own-fr": 0.01,
    "own-pt": 0.01,
    "own-it": 0.005,
    "cross-es": 0.005,
    "cross-tr": 0.005,
    **dict.fromkeys((f"twin-{lang}" for lang in ("es", "de", "fr", "it", "pt", "tr")), 0.015),
}
# Languages that the teacher does not know.
UNTAUGHT = re.compile(r"^(jaquad|tquad|tldr-multi|own-.*|cross-.*)$")
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
        made = torch.from_numpy(np.load(build / "teacher.npy").astype(np.float32))
        self.teacher = F.pad(made, (0, student.Config.dims - made.shape[1]))
        for text, twin in json.loads((build / "twins.json").read_text(encoding="utf-8")):
            self.teacher[text] = self.teacher[twin]
        self.known = self.teacher.abs().sum(1) > 0
        self.pairs: dict[str, list[dict]] = defaultdict(list)
        for line in (build / "pairs.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if UNTAUGHT.match(row["source"]) or (self.known[row["q"]] and self.known[row["d"]]):
                self.pairs[row["source"]].append(row)
        taught = self.known.nonzero()[:, 0]
        self.taught = taught[
            torch.randperm(len(taught), generator=torch.Generator().manual_seed(1))
        ]
        sizes = torch.tensor([len(row) for row in self.ids])
        self.long = self.taught[sizes[self.taught] >= LONG]

    @torch.inference_mode()
    def turn(self, model: student.Student, most: int = 3000) -> None:
        """Turn the teacher's axes to lie nearest this student's vectors (Procrustes)."""
        some = self.taught[:most]
        with student.low(some.device):
            rows = [self.document(place, 128) for place in some.tolist()]
            mine = F.normalize(last_states(model, rows, None), dim=1)[:, : student.MEANING]
        theirs = self.teacher[some, : student.MEANING]
        left, _, right = torch.linalg.svd(theirs.T @ mine)
        self.teacher[:, : student.MEANING] = self.teacher[:, : student.MEANING] @ (left @ right)
        cosine = (self.teacher[some, : student.MEANING] * mine).sum(1).mean()
        print(f"cosine of the student to the turned teacher {float(cosine):.3f}", flush=True)

    def wrong(self, row: dict, count: int) -> list[int]:
        """Some of the documents that look right for a pair, each as likely as the others."""
        return random.sample(row["negatives"], min(count, len(row["negatives"])))

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


def hard_losses(data: Data, queries: list[int], documents: list[int], out: Tensor) -> Tensor:
    """The same, `documents` with those that look right behind; only queries meet documents."""
    count = len(queries)
    q, d = out[:count], out[count:]
    places = torch.tensor(queries + documents)
    target, known = data.teacher[places], data.known[places]
    distil = (1 - (out[known] * target[known]).sum(1)).mean()
    given = known[count:]
    asked = known[:count]
    theirs = target[:count] @ target[count:].T
    mine = q @ d.T
    goal = (theirs[asked][:, given] / TEMPERATURE).softmax(1)
    found = F.cross_entropy(mine[asked][:, given] / TEMPERATURE, goal)
    relation = found + (goal * goal.clamp_min(1e-9).log()).sum(1).mean()
    gold = theirs.diagonal()[:, None]
    numbers = torch.tensor(documents)
    alike = (theirs > gold - 0.05) & (gold != 0) | (numbers[None, :] == numbers[:count, None])
    alike.fill_diagonal_(False)
    scores = (mine / TEMPERATURE).masked_fill(alike, -1e4)
    own = F.cross_entropy(scores, torch.arange(count), reduction="none")
    weight = torch.where(gold[:, 0] != 0, 0.4, 1.0)
    return torch.stack([distil, relation, (own * weight).mean()])


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
    parser.add_argument("--hard", type=int, default=0, help="documents that look right, a pair")
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
    if args.start:
        data.turn(model)
    mix = HARD_MIX if args.hard else MIX
    mix = {name: share for name, share in mix.items() if data.pairs[name]}
    print({name: len(data.pairs[name]) for name in mix}, len(data.taught), flush=True)
    head = torch.tensor([data.head])

    def step() -> Tensor:
        drawn = [
            random.choice(data.pairs[name])
            for name in random.choices(list(mix), list(mix.values()), k=args.pairs)
        ]
        queries = [row["q"] for row in drawn]
        documents = [row["d"] for row in drawn]
        for row in drawn if args.hard else []:
            documents += data.wrong(row, args.hard)
        for pool, count in ((data.taught, args.clusters), (data.long, args.long)):
            documents += data.neighbours(pool, count, 24) if count else []
        asked = [data.query(place, 40) for place in queries]
        given = [data.document(place, args.most) for place in documents]
        with torch.autocast("cpu", torch.bfloat16):
            _, past = model.run(head)
            states = last_states(model, asked, past), last_states(model, given, None)
        compute = hard_losses if args.hard else losses
        return compute(data, queries, documents, F.normalize(torch.cat(states), dim=1))

    loop.train(model, args.out, args, step)


if __name__ == "__main__":
    main()
