"""Measure the GGUF files through llama.cpp on development collections, as Markdown tables.

Measured are nDCG@10 of BM25, of the cosine, and of their fusion by weight; Recall@100 of BM25 and
of the fusion at `--weight`. `--save` writes every query's values; `--against` compares with such a
file, by a paired bootstrap over queries (each set is resampled and has the same weight).

Collections are folders in BEIR layout. BM25 is rank_bm25 (k1 1.2, b 0.75; Snowball stems, Chinese
and Japanese as character bigrams). Fusion is (1 - w) * BM25 + w * cosine, each min-max scaled over
the union of both best hundreds; reranking is (1 - b) * fused + b * P(yes) over the fused best 30,
fused scores min-max scaled over those. `qrank eval` measures the same through the whole program.
"""

import argparse
import json
import math
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
CANDIDATES = 30
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
    """Min-max scaling to 0..1; zeros if all values are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


class LuceneBM25(BM25Okapi):
    """BM25 with Lucene's IDF: Okapi's is negative for common words (MBPP's "write a function")."""

    def _calc_idf(self, nd: dict[str, int]) -> None:
        size = self.corpus_size
        self.idf = {word: math.log(1 + (size - n + 0.5) / (n + 0.5)) for word, n in nd.items()}


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
        index = LuceneBM25([words(text) or ["\x00"] for text in self.texts], k1=1.2, b=0.75)
        self.bm25 = np.stack([index.get_scores(words(text)) for text in self.queries])

    def ndcg(self, rankings: list[list[int]]) -> list[float]:
        """nDCG@10 of each query's ranking, given as document numbers."""
        pairs = zip(rankings, self.judged, strict=True)
        return [ndcg([self.names[i] for i in row[:10]], gold) for row, gold in pairs]

    def recall(self, rankings: list[list[int]]) -> list[float]:
        """Share of each query's judged documents among its best 100."""
        pairs = zip(rankings, self.judged, strict=True)
        return [
            len(gold.keys() & {self.names[i] for i in r[:100]}) / len(gold) for r, gold in pairs
        ]


def best(scores: NDArray[np.floating], depth: int) -> list[int]:
    """The indices of the highest scores, best first, ties by index."""
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


Values = dict[str, list[float]]  # column -> a value per query


def first_stage(made: Collection, cosine: NDArray[np.floating], weight: float) -> Values:
    """The columns of the first table: nDCG and recall of BM25, cosine and fusion."""
    count = range(len(made.queries))

    def fused(share: float) -> list[list[int]]:
        return [fuse(made.bm25[i], cosine[i], share)[0] for i in count]

    lexical = [best(made.bm25[i], 100) for i in count]
    values = {"BM25": made.ndcg(lexical), "cosine": made.ndcg([best(cosine[i], 10) for i in count])}
    values |= {f"w {share}": made.ndcg(fused(share)) for share in WEIGHTS}
    values["R BM25"] = made.recall(lexical)
    values[f"R w {weight}"] = made.recall(fused(weight))
    return values


def rerank(
    made: Collection, cosine: NDArray[np.floating], weight: float, model: runner.Reranker
) -> Values:
    """The columns of the second table: by blend weight, then P(yes) alone, over the fused best."""
    tops, fused, pairs = [], [], []
    for place, query in enumerate(made.queries):
        ranked, scores = fuse(made.bm25[place], cosine[place], weight)
        tops.append(ranked[:CANDIDATES])
        fused.append(scaled(scores[:CANDIDATES]))
        pairs += [(query, made.texts[number]) for number in ranked[:CANDIDATES]]
    yes = model.score(pairs).reshape(len(tops), -1)
    values = {f"w {weight}": made.ndcg(tops)}
    for blend in (*BLENDS, 1.0):
        rankings = []
        for top, base, own in zip(tops, fused, yes, strict=True):
            order = np.argsort(-((1 - blend) * base + blend * own), kind="stable")
            rankings.append([top[place] for place in order])
        values[f"b {blend}" if blend < 1 else "P(yes)"] = made.ndcg(rankings)
    return values


def compare(mine: dict[str, Values], other: dict[str, Values], column: str) -> str:
    """Mean difference in a column over the common sets, and its 95 % interval."""
    rng = np.random.default_rng(0)
    pairs = [(np.array(mine[name][column]), np.array(other[name][column])) for name in mine]
    means, drawn = [], np.zeros(5000)
    for new, old in pairs:
        gain = new - old
        means.append(gain.mean())
        drawn += gain[rng.integers(len(gain), size=(5000, len(gain)))].mean(1) / len(pairs)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{column}: {np.mean(means):+.4f} [{low:+.4f}, {high:+.4f}]"


def show(results: dict[str, Values]) -> None:
    """A table of means, the last row over all sets."""
    columns = list(next(iter(results.values())))
    means = {name: [float(np.mean(v)) for v in values.values()] for name, values in results.items()}
    mean = [float(value) for value in np.mean(list(means.values()), axis=0)]
    table(["set", *columns], [[name, *row] for name, row in means.items()] + [["mean", *mean]])


def main() -> None:
    """Evaluate one or both files on the given collections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collections", type=Path, nargs="+", help="folders in BEIR layout")
    parser.add_argument("--embedding", type=Path, required=True)
    parser.add_argument("--reranker", type=Path)
    parser.add_argument("--weight", type=float, default=0.35, help="fusion weight when reranking")
    parser.add_argument("--queries", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save", type=Path, help="JSON of every query's values")
    parser.add_argument("--against", type=Path, help="compare with what --save wrote")
    args = parser.parse_args()
    embedder = runner.Embedder(args.embedding, args.threads)
    model = runner.Reranker(args.reranker, args.threads) if args.reranker else None
    first: dict[str, Values] = {}
    second: dict[str, Values] = {}
    for folder in args.collections:
        made = Collection(folder, args.queries)
        queries = embedder.encode(made.queries, query=True)
        cosine = queries @ embedder.encode(made.texts, query=False).T
        first[folder.name] = first_stage(made, cosine, args.weight)
        if model:
            second[folder.name] = rerank(made, cosine, args.weight, model)
    show(first)
    if second:
        show(second)
    if args.save:
        args.save.write_text(json.dumps({"first": first, "second": second}), encoding="utf-8")
    if args.against:
        other = json.loads(args.against.read_text(encoding="utf-8"))
        for stage, results in (("first", first), ("second", second)):
            for column in next(iter(results.values()), {}):
                print(compare(results, other[stage], column))


if __name__ == "__main__":
    main()
