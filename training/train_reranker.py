"""Train the small reranker, starting from the trained embedder.

The token embeddings and the middle layers are the embedder's. A layer before them marks the parts
of the prompt. Of two layers after them, the first gives the prompt's last token the mean of the
query; the second adds the mean of the document, with more weight for words near the query's mean,
and its SwiGLU multiplies the two means, so that training starts from a rough cosine.
Loss: listwise cross-entropy against half gold, half softmax(teacher cosine / 0.05), plus binary
cross-entropy on gold. Candidates are the positive, given negatives, hard negatives by BM25 from the
same source, and random passages.
"""

import argparse
import random
from pathlib import Path

import loop
import numpy as np
import student
import torch
import vocabulary
from numpy.typing import NDArray
from scipy import sparse
from student import CONST, MARK_IN, PART, RARITY, SCORE, SLOT0, SLOT1, mark_seen
from torch import Tensor
from torch.nn import functional as F
from train_embedder import Data, last_states

TASK = "Given a web search query, retrieve relevant passages that answer the query"
SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".'
)
MIX = {
    "squad-sentences": 0.24,
    "wordnet": 0.05,
    "package": 0.06,
    "doc": 0.08,
    "dictionary": 0.05,
    "python": 0.06,
    "ontology": 0.04,
    "man": 0.03,
    "tldr-en": 0.06,
    "nl2bash": 0.03,
    "wikiqa": 0.07,
    "trecqa": 0.03,
    "covidfact": 0.06,
    "healthver": 0.06,
    "policyqa": 0.02,
    "cosqa": 0.02,
    "mbpp": 0.01,
    "concode-java": 0.01,
    "jaquad": 0.04,
    "tquad": 0.02,
    "tldr-multi": 0.02,
}
HALF = 120  # dims of meaning in the product
SLOT2 = 29  # a third slow head dim, besides SLOT0 and SLOT1
NEAR = 0.3  # weight of the similarity to the query's mean
WIDEN = 400  # characters of each text when several are joined


class Prompt:
    """Token ids of the Qwen3-Reranker prompt: a fixed head, query and document, a fixed tail."""

    def __init__(self, data: Data) -> None:
        ids = vocabulary.special_ids(data.vocabulary)
        self.encode = data.encode

        def plain(text: str) -> list[int]:
            return data.encode.encode(text).ids

        start, stop = ids["<|im_start|>"], ids["<|im_end|>"]
        self.body = plain(f"<Instruct>: {TASK}\n<Query>:")
        self.head = [start, *plain(f"system\n{SYSTEM}"), stop, *plain("\n")]
        self.head += [start, *plain("user\n"), *self.body]
        self.tail = [stop, *plain("\n"), start, *plain("assistant\n"), ids["<think>"]]
        self.tail += [*plain("\n\n"), ids["</think>"], *plain("\n\n")]
        words = [plain(word)[-1] for word in ("Instruct", "Query", "Document")]
        self.marks = [*words, ids["</think>"]]  # in the order of MARK_IN
        self.plain_specials = [start, stop, ids["<think>"], ids["</think>"], *plain("\n\n")]
        (self.yes,), (self.no,) = plain("yes"), plain("no")

    def pair(self, query: str, document: str, most: int) -> list[int]:
        """Ids after the head; the whole body is tokenized together, as the reference does."""
        text = f"<Instruct>: {TASK}\n<Query>: {query}\n<Document>: {document}"
        ids = self.encode.encode(text).ids
        if ids[: len(self.body)] != self.body:
            raise ValueError("the query changes the tokens before it")
        return ids[len(self.body) :][:most] + self.tail


def begin(embedder: student.Student, prompt: Prompt) -> student.Student:
    """Make a reranker of the embedder: a layer for the prompt's parts, the embedder's layers before
    its pooling, two layers for the product."""
    middle = embedder.blk[: student.POOL]
    config = student.Config(**{**vars(embedder.config), "layers": len(middle) + 3})
    model = student.Student(config)
    table = model.token_embd.weight.data
    table.copy_(embedder.token_embd.weight.data)
    fresh = [MARK_IN + 2, MARK_IN + 3, SCORE, PART, PART + 1, PART + 2]
    table[:, [MARK_IN, MARK_IN + 1, *fresh]] = 0
    table[prompt.plain_specials] = 0
    table[prompt.plain_specials, CONST] = 4
    for place, token in enumerate(prompt.marks):
        table[token, MARK_IN + place] = 8
    table[prompt.no] = table[prompt.yes]
    table[prompt.yes, SCORE], table[prompt.no, SCORE] = 2, -2
    table[prompt.yes, CONST], table[prompt.no, CONST] = 3.75, 4.25
    mark_seen(model.blk[0], range(MARK_IN + 1, MARK_IN + 4), range(PART, PART + 3))
    for layer, trained in zip(model.blk[1:-2], middle, strict=True):
        layer.load_state_dict(trained.state_dict())
        for matrix in ("attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"):
            getattr(layer, matrix).weight.data[:, fresh] = 0
        for matrix in ("attn_output", "ffn_down"):
            getattr(layer, matrix).weight.data[fresh] = 0
    pooled = pooling(embedder)
    average(model.blk[-2], pooled, part=0, gain=2.0, near=False)
    average(model.blk[-1], pooled, part=1, gain=4.0, near=True)
    multiply(model.blk[-1])
    model.output_norm.weight.data[:] = 0
    model.output_norm.weight.data[[CONST, SCORE]] = 1
    return model


def pooling(embedder: student.Student) -> Tensor:
    """The first HALF dims of the embedder's pooling, as a matrix of shape (HALF, dims)."""
    layer = embedder.blk[student.POOL]
    made = layer.attn_output.weight @ layer.attn_v.weight * layer.attn_norm.weight
    made = (made * embedder.output_norm.weight[:, None]).detach()[:HALF]
    made[:, student.MEANING :] = 0
    return made / made.norm(dim=1).mean()


def average(layer: student.Layer, pooled: Tensor, part: int, gain: float, near: bool) -> None:
    """The last token averages the words of a part into half `part` of the meaning, with more weight
    for rare words.

    part: 0: the query, 1: the document. Tokens before </think> average the words before the query
    instead, a constant. near: more weight for words similar to the first half, which has the
    query's mean by then.
    """
    q, k, v, o = (
        m.weight.data for m in (layer.attn_q, layer.attn_k, layer.attn_v, layer.attn_output)
    )
    for matrix in (q, k, v, o):
        matrix.zero_()
    for norm in (layer.attn_q_norm, layer.attn_k_norm):
        norm.weight.data[[SLOT0, SLOT1, SLOT2]] = 1.5
    size = HALF // 4
    for head in range(4):
        row = 64 * head
        q[row + SLOT1, CONST] = 1
        k[row + SLOT0, CONST], k[row + SLOT1, CONST] = 1, -1.25
        k[row + SLOT1, RARITY] = 0.9
        k[row + SLOT1, PART + part], k[row + SLOT1, PART + part + 1] = gain, -gain
        if not near:
            q[row + SLOT2, CONST], q[row + SLOT2, PART + 2] = 4, -12
            k[row + SLOT2, CONST], k[row + SLOT2, PART] = 1, -2
        v[row : row + size] = pooled[size * head : size * (head + 1)]
        for dim in range(size):
            o[HALF * part + size * head + dim, row + dim] = 2
        if near:  # through the slow rotary pairs, whose angle is small within a passage
            for place, slot in enumerate((*range(16, 29), *range(48, 61))):
                q[row + slot, 26 * head + place] = k[row + slot, 26 * head + place] = NEAR
    for matrix in (q, k, o):
        matrix.add_(torch.randn_like(matrix) * 0.003)


def multiply(layer: student.Layer) -> None:
    """The SwiGLU multiplies the halves in two units each: silu(a) b - silu(-a) b = a b."""
    gate, up, down = (m.weight.data for m in (layer.ffn_gate, layer.ffn_up, layer.ffn_down))
    places = torch.arange(HALF)
    gate[: 2 * HALF], up[: 2 * HALF], down[:, : 2 * HALF] = 0, 0, 0
    gate[places, places], up[places, HALF + places] = 1, 1
    gate[HALF + places, places], up[HALF + places, HALF + places] = -1, 1
    down[SCORE, places], down[SCORE, HALF + places] = 0.03, -0.03


def lexical(queries: list[list[int]], texts: list[list[int]], tokens: int) -> NDArray[np.int64]:
    """The numbers of the best texts by BM25 over token ids (k1 1.2, b 0.75), of shape (queries, up
    to 24)."""

    def matrix(rows: list[list[int]]) -> sparse.csr_matrix:
        width = [len(row) for row in rows]
        made = sparse.csr_matrix(
            (np.ones(sum(width)), (np.repeat(np.arange(len(rows)), width), np.concatenate(rows))),
            shape=(len(rows), tokens),
        )
        made.sum_duplicates()
        return made

    counts, asked = matrix(texts), matrix(queries)
    lengths = np.asarray(counts.sum(1)).ravel()
    found = np.bincount(counts.indices, minlength=tokens)
    idf = np.log(1 + (len(texts) - found + 0.5) / (found + 0.5))
    per = np.repeat(1.2 * (0.25 + 0.75 * lengths / lengths.mean()), np.diff(counts.indptr))
    counts.data = counts.data * 2.2 / (counts.data + per) * idf[counts.indices]
    asked.data[:] = 1
    turned, most, parts = counts.T.tocsr(), min(24, len(texts)), []
    for start in range(0, len(queries), 500):
        scores = (asked[start : start + 500] @ turned).toarray()
        parts.append(np.argsort(-scores, axis=1)[:, :most])
    return np.concatenate(parts)


class Candidates:
    """Draws queries with lists of texts to rank."""

    def __init__(self, data: Data, sources: list[str], most: int = 1500) -> None:
        self.data = data
        self.near: dict[str, tuple[list[dict], list[int], NDArray[np.int64]]] = {}
        for name in sources:
            rows = random.sample(data.pairs[name], min(most, len(data.pairs[name])))
            texts = sorted({row["d"] for row in data.pairs[name]})[: 4 * most]
            texts = sorted(set(texts) | {row["d"] for row in rows})
            ids = [data.ids[text][:128] for text in texts]
            asked = [data.ids[row["q"]][:64] for row in rows]
            near = lexical(asked, ids, len(data.vocabulary["tokens"]))
            self.near[name] = (rows, texts, near)

    def widen(self, name: str, text: int) -> str:
        """A text joined, at a random position, with one to three others of its source."""
        parts = random.sample(self.near[name][1], random.randint(1, 3))
        parts.insert(random.randint(0, len(parts)), text)
        return " ".join(self.data.texts[part][:WIDEN] for part in parts)

    def draw(self, name: str, size: int) -> tuple[int, list[int]]:
        """A query and `size` texts, of which the first is the positive."""
        rows, texts, near = self.near[name]
        place = random.randrange(len(rows))
        row = rows[place]
        pool = [texts[number] for number in near[place]]
        pool = random.sample(pool, min(size, len(pool)))
        given = random.sample(row["negatives"], min(2, len(row["negatives"])))
        others = random.sample(texts, min(size, len(texts)))
        wrong: list[int] = []
        for text in [*given, *pool[: size - 2], *others, *pool]:
            if text != row["d"] and text not in wrong and len(wrong) < size - 1:
                wrong.append(text)
        return row["q"], [row["d"], *wrong]


def losses(logits: Tensor, cosine: Tensor) -> Tensor:
    """The losses, shape (3,); the third is only for the log. logits: yes minus no, of shape
    (queries, size), the positive first; cosine: of the teacher, same shape, 0 if unknown."""
    known = cosine[:, :1] != 0
    gold = torch.zeros_like(logits)
    gold[:, 0] = 1
    goal = torch.where(known, 0.5 * gold + 0.5 * (cosine / 0.05).softmax(1), gold)
    listwise = F.cross_entropy(logits, goal)
    counted = ~(known & (cosine > cosine[:, :1] - 0.02))
    counted[:, 0] = True
    weight = counted * torch.where(gold > 0, float(logits.shape[1] - 1), 1.0) * 0.5
    binary = F.binary_cross_entropy_with_logits(logits, gold, weight=weight)
    wrong = 1 - (logits.detach().argmax(1) == 0).float().mean()  # for the log; no gradient
    return torch.stack([listwise, binary, wrong])


def main() -> None:
    """Train for a given time, and write checkpoints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("embedder", type=Path, help="its checkpoint")
    parser.add_argument("out", type=Path, help="checkpoint to write")
    parser.add_argument("--queries", type=int, default=12, help="lists a step")
    parser.add_argument("--size", type=int, default=6, help="texts a list")
    parser.add_argument("--most", type=int, default=128, help="longest query and document")
    parser.add_argument("--start", type=Path, help="reranker to go on from, .pt or .gguf")
    parser.add_argument("--wide", type=float, default=0.35, help="share of lists in wider texts")
    loop.options(parser, rate=7e-4, table_rate=1e-3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    data = Data(args.build)
    prompt = Prompt(data)
    model = student.load(args.start) if args.start else begin(student.load(args.embedder), prompt)
    mix = {name: share for name, share in MIX.items() if data.pairs[name]}
    candidates = Candidates(data, list(mix))
    head = torch.tensor([prompt.head])

    def step() -> Tensor:
        rows: list[list[int]] = []
        asked, offered, whole = [], [], []
        for name in random.choices(list(mix), list(mix.values()), k=args.queries):
            query, texts = candidates.draw(name, args.size)
            asked += [query] * len(texts)
            offered += texts
            most = random.choice((64, args.most, args.most, 2 * args.most))
            shown = [data.texts[text] for text in texts]
            wide = random.random() < args.wide and max(map(len, shown)) <= 2 * WIDEN
            if wide:
                shown, most = [candidates.widen(name, text) for text in texts], 2 * args.most
            whole.append(not wide)
            rows += [prompt.pair(data.texts[query][:300], text, most) for text in shown]
        with torch.autocast("cpu", torch.bfloat16):
            _, past = model.run(head)
            states = last_states(model, rows, past)
        table = model.token_embd.weight
        logits = (states @ (table[prompt.yes] - table[prompt.no])).view(-1, args.size)
        cosine = (data.teacher[asked] * data.teacher[offered]).sum(1).view(-1, args.size)
        return losses(logits, cosine * torch.tensor(whole)[:, None])

    loop.train(model, args.out, args, step)


if __name__ == "__main__":
    main()
