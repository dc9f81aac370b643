"""Measure the GGUF files through llama.cpp on development collections: nDCG@10 as Markdown tables.

Collections are folders in BEIR layout. BM25 is rank_bm25 (k1 1.2, b 0.75; Snowball stems, Chinese
and Japanese as character bigrams). Fusion is (1 - w) * BM25 + w * cosine, each min-max scaled over
the union of both best hundreds; reranking is (1 - b) * fused + b * P(yes) over the fused best 30,
fused scores min-max scaled over those.
"""

import argparse
import json
import random
import re
from pathlib import Path

import numpy as np
import runner
import snowballstemmer
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi

STEM = snowballstemmer.stemmer("english").stemWord
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]+")
WEIGHTS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7)
BLENDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)


def words(text: str) -> list[str]:
    """Search terms of a text."""
    text = text.lower()
    found = [run[i : i + 2] for run in CJK.findall(text) for i in range(max(1, len(run) - 1))]
    return found + [STEM(word) for word in re.findall(r"\w+", CJK.sub(" ", text))]


def ndcg(ranked: list[str], judged: dict[str, int], depth: int = 10) -> float:
    """nDCG with linear gains, as trec_eval computes it."""
    discounts = 1 / np.log2(np.arange(2, depth + 2))
    gains = np.array([judged.get(name, 0) for name in ranked[:depth]], dtype=float)
    best = np.array(sorted(judged.values(), reverse=True)[:depth], dtype=float)
    return float(gains @ discounts[: len(gains)] / (best @ discounts[: len(best)]))


def scaled(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Min-max to 0..1; zeros where all are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


class Collection:
    """Documents, sampled judged queries and their BM25 scores."""

    def __init__(self, folder: Path, most: int) -> None:
        lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        self.names = [row["_id"] for row in rows]
        self.texts = [f"{row.get('title') or ''}\n{row['text']}".strip() for row in rows]
        judged: dict[str, dict[str, int]] = {}
        for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
            query, document, score = line.split("\t")
            if int(float(score)) > 0:
                judged.setdefault(query, {})[document] = int(float(score))
        lines = (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
        queries = [(row["_id"], row["text"]) for row in map(json.loads, lines)]
        queries = [row for row in queries if row[0] in judged]
        random.seed(7)
        sample = random.sample(queries, min(most, len(queries)))
        self.queries = [text for _, text in sample]
        self.judged = [judged[name] for name, _ in sample]
        index = BM25Okapi([words(text) or ["\x00"] for text in self.texts], k1=1.2, b=0.75)
        self.bm25 = np.stack([index.get_scores(words(text)) for text in self.queries])

    def mean(self, rankings: list[list[int]]) -> float:
        """Mean nDCG@10 of rankings given as document numbers."""
        pairs = zip(rankings, self.judged, strict=True)
        return float(np.mean([ndcg([self.names[i] for i in row], gold) for row, gold in pairs]))


def best(scores: NDArray[np.floating], depth: int) -> list[int]:
    """Numbers of the best, best first, ties by number."""
    return list(np.argsort(-scores, kind="stable")[:depth])


def fuse(
    bm25: NDArray[np.floating], cosine: NDArray[np.floating], weight: float
) -> tuple[list[int], NDArray[np.floating]]:
    """The union of both best hundreds, best first, and their fused scores."""
    union = np.array(sorted(set(best(bm25, 100)) | set(best(cosine, 100))))
    scores = (1 - weight) * scaled(bm25[union]) + weight * scaled(cosine[union])
    order = np.argsort(-scores, kind="stable")
    return list(union[order]), scores[order]


def table(head: list[str], rows: list[list[object]]) -> None:
    """Print a Markdown table."""
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in r] for r in rows]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    print("\n".join("| " + " | ".join(row) + " |" for row in cells) + "\n", flush=True)


def rerank(
    made: Collection, cosine: NDArray[np.floating], weight: float, model: runner.Reranker
) -> list[float]:
    """Mean nDCG@10 by blend weight, then of P(yes) alone, over the fused best 30."""
    tops, fused, pairs = [], [], []
    for place, query in enumerate(made.queries):
        ranked, scores = fuse(made.bm25[place], cosine[place], weight)
        tops.append(ranked[:30])
        fused.append(scaled(scores[:30]))
        pairs += [(query, made.texts[number]) for number in ranked[:30]]
    yes = model.score(pairs).reshape(len(tops), -1)
    print(f"P(yes): mean {yes.mean():.3f}, 5-95 % {np.percentile(yes, 5):.3f}", end="")
    print(f"-{np.percentile(yes, 95):.3f}")
    values = []
    for blend in (*BLENDS, 1.0):
        rankings = []
        for top, base, own in zip(tops, fused, yes, strict=True):
            order = np.argsort(-((1 - blend) * base + blend * own), kind="stable")
            rankings.append([top[place] for place in order])
        values.append(made.mean(rankings))
    return values


def main() -> None:
    """Evaluate one or both files on the given collections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collections", type=Path, nargs="+", help="folders in BEIR layout")
    parser.add_argument("--embedding", type=Path, required=True)
    parser.add_argument("--reranker", type=Path)
    parser.add_argument("--weight", type=float, default=0.2, help="fusion weight when reranking")
    parser.add_argument("--queries", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    embedder = runner.Embedder(args.embedding, args.threads)
    rows: list[list[object]] = []
    reranked: list[list[object]] = []
    for folder in args.collections:
        made = Collection(folder, args.queries)
        queries = embedder.encode(made.queries, query=True)
        cosine = queries @ embedder.encode(made.texts, query=False).T
        count = range(len(made.queries))
        bm25 = made.mean([best(made.bm25[i], 10) for i in count])
        dense = made.mean([best(cosine[i], 10) for i in count])
        mixed = [
            made.mean([fuse(made.bm25[i], cosine[i], weight)[0] for i in count])
            for weight in WEIGHTS
        ]
        rows.append([folder.name, bm25, dense, *mixed])
        if args.reranker:
            model = runner.Reranker(args.reranker, args.threads)
            fused = made.mean([fuse(made.bm25[i], cosine[i], args.weight)[0] for i in count])
            reranked.append([folder.name, bm25, fused, *rerank(made, cosine, args.weight, model)])
    mean = ["mean", *(float(np.mean(column)) for column in list(zip(*rows, strict=True))[1:])]
    table(["set", "BM25", "cosine", *(f"w {weight}" for weight in WEIGHTS)], [*rows, mean])
    if reranked:
        columns = list(zip(*reranked, strict=True))[1:]
        mean = ["mean", *(float(np.mean(column)) for column in columns)]
        head = ["set", "BM25", f"w {args.weight}", *(f"b {blend}" for blend in BLENDS), "P(yes)"]
        table(head, [*reranked, mean])


if __name__ == "__main__":
    main()
