"""Calibrate the scores of a hybrid search: make them probabilities of relevance.

`collect` searches judged collections (BEIR folders) for their queries, and for queries without an
answer, and saves all stages' scores of each candidate. `fit` learns the weights of
qrank/searching/scores/calibration.py from some of the sets, and prints them for
qrank/models/registry.toml, with their calibration errors: on the other sets, and on each set with
weights learnt from all others.

Documents without a judgement count as not relevant. For every ten judged queries there are three
without an answer: one of a collection of another field, some words of several such, and made-up
words.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qrank.evaluation.corpus import index_corpus
from qrank.evaluation.dataset import load
from qrank.inference.cache import relevance
from qrank.models.registry import Registry, Role
from qrank.progress import Silent
from qrank.results import Answer, Mode, RerankScore, StageScore
from qrank.searching.fusion import blend
from qrank.searching.models import SearchModels
from qrank.searching.query import parse
from qrank.searching.reranking import _model_text
from qrank.searching.scores import calibration
from qrank.searching.search import Clock, Query, _matching
from qrank.settings import Placement
from qrank.store import open_store
from qrank.store.cache import Cache

SHOWN = 10  # results of a query that are used for fitting and measuring
RIDGE = 0.3  # regularization of the weights of standardized features
READ = 30  # candidates that are reranked
STEP = 10  # queries of a set at a time, so that collecting can be stopped at any time
FIELDS = (  # groups of sets of the same field, which may answer each other's queries
    *({"medline", "nfcorpus"}, {"cosqa", "mbpp", "nl2bash", "cacm"}, {"cranfield"}),
    set("clapnq-dev xquad-en wikiqa trecqa noveleval chroma-chunks xquad-es xquad-tr xquad-hi "
        "xquad-zh cmrc2018-dev jaquad-dev".split()),
)  # fmt: skip
SYLLABLES = "ba ce di fo gu ha ji klo mu ne pri qua ro sti tu vex wo xa yo zib fl ur qz gro".split()
Row = dict[str, Any]


class Collection:
    """An indexed collection, with the models to search it."""

    def __init__(self, folder: Path, embed_model: str, rerank_model: str | None) -> None:
        registry, placement = Registry(), Placement(threads=1)
        self.name, self.data, self._cache = folder.name, load(folder), Cache()
        assert self.data.corpus
        path = index_corpus(self.data.corpus, registry, embed_model, placement, Silent())
        self._store = open_store(path)
        self._models = SearchModels(
            lambda: registry,
            self._cache,
            placement,
            embed_model=embed_model,
            rerank_model=rerank_model or "tiny",
        )
        self._reranker = self._models.reranker() if rerank_model else None

    def ask(self, name: str, kind: str, text: str) -> Row | None:
        """Search for a query; its candidates in the order before reranking, with their scores.
        None for a query without words."""
        query = Query(text, syntax=False)
        parsed = parse(text, self._store.languages(), syntax=False)
        if not parsed.plain.strip():
            return None
        semantic = self._models.semantic(self._store, Mode.hybrid)
        answer = Answer(text, "hybrid", {"embed": None, "rerank": None}, [])
        candidates = _matching(
            self._store, self._cache, query, parsed, semantic, answer, Clock(Silent()), None
        )
        judged = self.data.judgements[name] if kind == "judged" else {}
        texts = [_model_text(candidate.chunk) for candidate in candidates[:READ]]
        p_yes: dict[int, float] = {}
        if model := self._reranker:
            for _, scores in relevance(self._cache, model.sha256, text, texts, model.use):
                p_yes |= scores
        return {
            "set": self.name,
            "id": name,
            "kind": kind,
            "query": text,
            "terms": len(set(parsed.terms) | set(parsed.prefixes)),
            "chunks": self._store.count_chunks(),
            "judged": {d: grade for d, grade in judged.items() if grade > 0 and d != name},
            "candidates": [
                [
                    candidate.chunk.path,
                    candidate.final,
                    candidate.scores.bm25.score if candidate.scores.bm25 else None,
                    candidate.cosine,
                    p_yes.get(place),
                ]
                for place, candidate in enumerate(candidates)
                if candidate.chunk.path != name
            ],
        }


def without_answer(name: str, queries: dict[str, list[str]], rng: random.Random) -> Iterator[str]:
    """Three queries that a collection probably has no answer to."""
    field = next((sets for sets in FIELDS if name in sets), {name})
    others = [other for other in queries if other not in field]
    if others:
        yield rng.choice(queries[rng.choice(others)])
        texts = [rng.choice(queries[rng.choice(others)]) for _ in range(8)]
        words = sorted({word for text in texts for word in text.split() if len(word) > 3})
        yield " ".join(rng.sample(words, min(len(words), rng.randint(2, 5))))
    made = ("".join(rng.choices(SYLLABLES, k=rng.randint(2, 3))) for _ in range(rng.randint(1, 4)))
    yield " ".join(made)


def collect(args: argparse.Namespace) -> None:
    """Append to --out the queries that it does not have yet, STEP queries of each set in turn."""
    done = {(row["set"], row["id"]) for row in read(args.out)} if args.out.exists() else set()
    queries = {folder.name: [*load(folder).queries.values()] for folder in args.sets}
    collections: dict[str, Collection] = {}
    with args.out.open("a", encoding="utf-8") as out:
        for start in range(0, args.queries, STEP):
            for folder in args.sets:
                if folder.name not in collections:
                    one = Collection(folder, args.embed_model, args.rerank_model)
                    collections[folder.name] = one
                one, rng = collections[folder.name], random.Random(f"{folder.name} {start}")
                names = one.data.sample(None)
                random.Random(7).shuffle(names)
                texts = [("judged", n, one.data.queries[n]) for n in names[start : start + STEP]]
                nonsense = without_answer(folder.name, queries, rng)
                texts += [("none", f"none {start} {i}", text) for i, text in enumerate(nonsense)]
                for kind, name, text in texts:
                    row = None if (folder.name, name) in done else one.ask(name, kind, text)
                    if row:
                        out.write(json.dumps(row, ensure_ascii=False) + "\n")
                        out.flush()
                print(start, folder.name, flush=True)


def read(file: Path) -> list[Row]:
    """Read the file of `collect`."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


class Shown:
    """The first results of a query, as a search sorts them, with their features (evidence) and
    whether they are relevant. rerank_weight: None for the order without reranking."""

    def __init__(self, row: Row, rerank_weight: float | None) -> None:
        self.set, self.kind, self.query = row["set"], row["kind"], row["query"]
        candidates = [_candidate(*each) for each in row["candidates"]]
        if rerank_weight is not None:
            candidates = [c for c in candidates if c.scores.rerank]
            low = min((0.0, *(c.final for c in candidates)))
            span = max((c.final for c in candidates), default=0.0) - low or 1.0
            for c in candidates:
                c.final = blend((c.final - low) / span, c.scores.rerank.p_yes, rerank_weight)
            candidates.sort(key=lambda c: -c.final)
        else:
            for c in candidates:
                c.scores.rerank = None
        self.candidates = candidates[:SHOWN]
        self.relevant = np.array([c.path in row["judged"] for c in self.candidates], dtype=float)
        self._args = (row["terms"], row["chunks"])
        evidence = calibration.evidence(candidates, *self._args)
        self.evidence = [features for _, features in zip(self.candidates, evidence, strict=False)]

    def relevance(self, weights: calibration.Weights) -> NDArray[np.floating]:
        """The calibrated scores, which never rise down the list; of shape (results,)."""
        scores = [calibration.probability(features, weights) for features in self.evidence]
        return np.minimum.accumulate(np.array(scores))


def _candidate(
    path: str, final: float, bm25: float | None, cosine: float | None, p_yes: float | None
) -> SimpleNamespace:
    scores = SimpleNamespace(
        bm25=None if bm25 is None else StageScore(1, bm25),
        rerank=None if p_yes is None else RerankScore(0.0, p_yes, cached=True),
    )
    return SimpleNamespace(path=path, final=final, cosine=cosine, scores=scores)


def fit(shown: list[Shown], doubt: int = 1) -> dict[str, float]:
    """Fit the weights by logistic regression; all sets, and all queries of a set, have the same
    weight, but queries without an answer `doubt` times as much. Features with a negative weight are
    removed, one by one."""
    shown = shown + [one for one in shown if one.kind == "none"] * (doubt - 1)
    names, weights = list(shown[0].evidence[0]), _fit(shown, list(shown[0].evidence[0]))
    while min(weights[name] for name in names) < 0:
        names.remove(min(names, key=lambda name: weights[name]))
        weights = _fit(shown, names)
    return dict.fromkeys(["base", *shown[0].evidence[0]], 0.0) | weights


def _fit(shown: list[Shown], names: list[str]) -> dict[str, float]:
    """Logistic regression on these features, by Newton's method."""
    counts = {one.set: sum(other.set == one.set for other in shown) for one in shown}
    rows, labels, shares = [], [], []
    for one in shown:
        for features, relevant in zip(one.evidence, one.relevant, strict=True):
            rows.append([1.0, *(features[name] for name in names)])
            labels.append(relevant)
            shares.append(1 / counts[one.set] / len(one.evidence))
    x, y, share = np.array(rows), np.array(labels), np.array(shares) / sum(shares) * len(rows)
    mean, spread = x.mean(0), x.std(0)
    mean[0], spread[0] = 0.0, 1.0
    x = (x - mean) / spread
    weights, ridge = np.zeros(len(names) + 1), np.diag([0.0, *[RIDGE] * len(names)])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (share * (y - p)) - ridge @ weights
        step = np.linalg.solve((x * (share * p * (1 - p))[:, None]).T @ x + ridge, slope)
        weights += step
        if abs(step).max() < 1e-9:
            break
    weights /= spread
    weights[0] -= weights[1:] @ mean[1:]
    return dict(zip(["base", *names], (round(float(w), 3) for w in weights), strict=True))


def error(p: NDArray[np.floating], relevant: NDArray[np.floating]) -> float:
    """The expected calibration error with ten bins: the mean over bins, weighted by their size, of
    the distance between the mean score and the share of relevant results."""
    tenth = np.minimum((p * 10).astype(int), 9)
    parts = [tenth == i for i in range(10)]
    return float(sum(abs(p[at].sum() - relevant[at].sum()) for at in parts if at.any()) / len(p))


def chance(p: NDArray[np.floating]) -> float:
    """Return the mean error that these scores would have if they were exactly right: with few
    queries it is far from 0."""
    rng = np.random.default_rng(1)
    return float(np.mean([error(p, (rng.random(len(p)) < p).astype(float)) for _ in range(300)]))


def report(shown: list[Shown], weights: Callable[[str], calibration.Weights]) -> None:
    """Print a table by set, with the weights for each set: the calibration error of first results
    and of all ten, and the scores of first results that are relevant, not relevant, and of queries
    without an answer."""
    head = ["set", "queries", "error, first", "by chance", "error, ten", "Brier, first"]
    head += ["relevant, share", "score, mean", "relevant, median"]
    head += ["not relevant, median", "without an answer, median", "of those under .3"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for name in [*dict.fromkeys(one.set for one in shown), "all"]:
        own = [one for one in shown if name in (one.set, "all")]
        scores = [one.relevance(weights(one.set)) for one in own]
        relevant = [one.relevant for one in own]
        first, right = np.array([p[0] for p in scores]), np.array([r[0] for r in relevant])
        none = np.array([one.kind == "none" for one in own])
        kinds = (right == 1, ~none & (right == 0), none)
        cells = [
            error(first, right),
            chance(first),
            error(np.concatenate(scores), np.concatenate(relevant)),
            ((first - right) ** 2).mean(),
            right[~none].mean(),
            first[~none].mean(),
            *(np.median(first[at]) if at.any() else np.nan for at in kinds),
            (first[none] < 0.3).mean() if none.any() else np.nan,
        ]
        told = ("" if np.isnan(cell) else f"{cell:.3f}" for cell in cells)
        print(f"| {name} | {len(own)} | " + " | ".join(told) + " |")
    print()


def main() -> None:
    """Parse the command line, and collect or fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("collect", help="search collections, and save all stages' scores")
    one.add_argument("sets", type=Path, nargs="+", help="folders in BEIR layout")
    one.add_argument("--embed-model", default="tiny")
    one.add_argument("--rerank-model", help="without it no candidate is reranked")
    one.add_argument("--queries", type=int, default=50, help="judged queries per set, at most")
    one.add_argument("--out", type=Path, required=True, help="JSON lines; appended to")
    one.set_defaults(run=collect)
    other = commands.add_parser("fit", help="learn the weights, and measure them")
    other.add_argument("file", type=Path, help="the file of collect")
    other.add_argument("--learn", nargs="+", required=True, help="sets to learn from")
    other.add_argument("--rerank-weight", type=float, help="default: that of the bundled reranker")
    doubt = "how often a query without an answer counts"
    other.add_argument("--doubt", type=int, default=1, help=doubt)
    other.set_defaults(run=learn)
    args = parser.parse_args()
    args.run(args)


def learn(args: argparse.Namespace) -> None:
    """Print the weights without and with a reranker, and their errors."""
    rows = [row for row in read(args.file) if row["candidates"]]
    share = args.rerank_weight
    if share is None:
        share = Registry().resolve(Role.reranker, "tiny").entry.rerank_weight
    reranked = all(row["candidates"][0][-1] is not None for row in rows)
    for name, weight in [(calibration.ALONE, None), *([("tiny", share)] if reranked else [])]:
        shown = [Shown(row, weight) for row in rows]
        known = [one for one in shown if one.set in args.learn]
        weights = fit(known, args.doubt)
        print(f"[embedder.calibration.{name}]")
        print("\n".join(f"{key} = {value}" for key, value in weights.items()), "\n")
        print("Sets that it was learnt from:\n")
        report(known, lambda name, weights=weights: weights)
        if others := [one for one in shown if one.set not in args.learn]:
            print("Others:\n")
            report(others, lambda name, weights=weights: weights)
        without = {
            left: fit([one for one in shown if one.set != left], args.doubt)
            for left in {one.set for one in shown}
        }
        print("Each set with weights learnt from all others:\n")
        report(shown, without.__getitem__)


if __name__ == "__main__":
    main()
