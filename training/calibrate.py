"""Make a hybrid search's score the probability that a result is relevant.

`collect` asks judged collections (BEIR folders) their queries, and others that they have no answer
to, and keeps what each stage says of each candidate. `fit` learns the weights of
qrank/searching/scores/calibration.py from some of the sets, and prints them for
qrank/models/registry.toml, with their errors on the other sets.

What was not judged counts as not relevant. A query without an answer is one of a collection of
another field, some words of several, or made-up words: three for every ten that have one.
"""

import argparse
import json
import random
from collections.abc import Iterator
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

SHOWN = 10  # results of a query that are learnt from, and measured
RIDGE = 0.3  # holds the weights of standardised evidence near 0 where there is little to learn from
READ = 30  # candidates that the reranker reads
STEP = 10  # queries of each set in turn, so that collecting can be stopped at any time
FIELDS = (  # sets of one field may answer each other's queries
    *({"medline", "nfcorpus"}, {"cosqa", "mbpp", "nl2bash", "cacm"}, {"cranfield"}),
    set("clapnq-dev xquad-en wikiqa trecqa noveleval chroma-chunks xquad-es xquad-tr xquad-hi "
        "xquad-zh cmrc2018-dev jaquad-dev".split()),
)  # fmt: skip
SYLLABLES = "ba ce di fo gu ha ji klo mu ne pri qua ro sti tu vex wo xa yo zib fl ur qz gro".split()
Row = dict[str, Any]


class Asked:
    """A collection, indexed, with the models that search it."""

    def __init__(self, folder: Path, embed_model: str, rerank_model: str | None) -> None:
        registry, placement = Registry(), Placement(threads=1)
        self.name, self.data, self._cache = folder.name, load(folder), Cache()
        assert self.data.corpus
        path = index_corpus(self.data.corpus, registry, embed_model, placement, Silent())
        self._store = open_store(path)
        self._models = SearchModels(
            registry,
            self._cache,
            placement,
            embed_model=embed_model,
            rerank_model=rerank_model or "tiny",
        )
        self._reranker = self._models.reranker() if rerank_model else None

    def ask(self, name: str, kind: str, text: str) -> Row | None:
        """A query's candidates, in the order before reranking, with what is known of each."""
        query = Query(text, syntax=False)
        parsed = parse(text, self._store.languages(), syntax=False)
        if not parsed.plain.strip():
            return None
        semantic = self._models.semantic(self._store, Mode.hybrid)
        answer = Answer(text, "hybrid", {"embed": None, "rerank": None}, [])
        found = _matching(
            self._store, self._cache, query, parsed, semantic, answer, Clock(Silent()), None
        )
        judged = self.data.judgements[name] if kind == "judged" else {}
        texts = [_model_text(candidate.chunk) for candidate in found[:READ]]
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
                for place, candidate in enumerate(found)
                if candidate.chunk.path != name
            ],
        }


def without_answer(name: str, queries: dict[str, list[str]], rng: random.Random) -> Iterator[str]:
    """Three queries that a collection has no answer to."""
    field = next((sets for sets in FIELDS if name in sets), {name})
    others = [other for other in queries if other not in field]
    if others:
        yield rng.choice(queries[rng.choice(others)])
        asked = [rng.choice(queries[rng.choice(others)]) for _ in range(8)]
        words = sorted({word for text in asked for word in text.split() if len(word) > 3})
        yield " ".join(rng.sample(words, min(len(words), rng.randint(2, 5))))
    made = ("".join(rng.choices(SYLLABLES, k=rng.randint(2, 3))) for _ in range(rng.randint(1, 4)))
    yield " ".join(made)


def collect(args: argparse.Namespace) -> None:
    """Append to --out what it does not have yet, ten queries of each set in turn."""
    done = {(row["set"], row["id"]) for row in read(args.out)} if args.out.exists() else set()
    queries = {folder.name: [*load(folder).queries.values()] for folder in args.sets}
    asked: dict[str, Asked] = {}
    with args.out.open("a", encoding="utf-8") as out:
        for start in range(0, args.queries, STEP):
            for folder in args.sets:
                if folder.name not in asked:
                    asked[folder.name] = Asked(folder, args.embed_model, args.rerank_model)
                one, rng = asked[folder.name], random.Random(f"{folder.name} {start}")
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
    """What `collect` wrote."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


class Shown:
    """The first results of a query, as a search orders them: what is known of each, and whether it
    is relevant."""

    def __init__(self, row: Row, rerank_weight: float | None) -> None:
        self.set, self.kind, self.query = row["set"], row["kind"], row["query"]
        made = [_candidate(*each) for each in row["candidates"]]
        if rerank_weight is not None:
            made = [c for c in made if c.scores.rerank]
            low = min((0.0, *(c.final for c in made)))
            span = max((c.final for c in made), default=0.0) - low or 1.0
            for c in made:
                c.final = blend((c.final - low) / span, c.scores.rerank.p_yes, rerank_weight)
            made.sort(key=lambda c: -c.final)
        else:
            for c in made:
                c.scores.rerank = None
        self.candidates = made[:SHOWN]
        self.relevant = np.array([c.path in row["judged"] for c in self.candidates], dtype=float)
        self._args = (row["terms"], row["chunks"])
        evidence = calibration.evidence(made, *self._args)
        self.evidence = [known for _, known in zip(self.candidates, evidence, strict=False)]

    def relevance(self, weights: calibration.Weights) -> NDArray[np.floating]:
        """The scores that a search shows."""
        own = [calibration.probability(known, weights) for known in self.evidence]
        return np.minimum.accumulate(np.array(own))


def _candidate(
    path: str, final: float, bm25: float | None, cosine: float | None, p_yes: float | None
) -> SimpleNamespace:
    scores = SimpleNamespace(
        bm25=None if bm25 is None else StageScore(1, bm25),
        rerank=None if p_yes is None else RerankScore(0.0, p_yes, cached=True),
    )
    return SimpleNamespace(path=path, final=final, cosine=cosine, scores=scores)


def fit(shown: list[Shown], doubt: int = 1) -> dict[str, float]:
    """The weights that make what was judged most likely, each set weighing the same, each query of
    it the same; one without an answer doubt times as much. No evidence counts against relevance:
    what would is left out."""
    shown = shown + [one for one in shown if one.kind == "none"] * (doubt - 1)
    names, weights = list(shown[0].evidence[0]), _fit(shown, list(shown[0].evidence[0]))
    while min(weights[name] for name in names) < 0:
        names.remove(min(names, key=lambda name: weights[name]))
        weights = _fit(shown, names)
    return dict.fromkeys(["base", *shown[0].evidence[0]], 0.0) | weights


def _fit(shown: list[Shown], names: list[str]) -> dict[str, float]:
    """Logistic regression by Newton's method on this evidence alone."""
    counts = {one.set: sum(other.set == one.set for other in shown) for one in shown}
    rows, labels, shares = [], [], []
    for one in shown:
        for known, relevant in zip(one.evidence, one.relevant, strict=True):
            rows.append([1.0, *(known[name] for name in names)])
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
    """The expected calibration error: of tenths of the scale the mean distance between the scores
    in it and the share of them that is relevant, weighed by how many there are."""
    tenth = np.minimum((p * 10).astype(int), 9)
    parts = [tenth == i for i in range(10)]
    return float(sum(abs(p[at].sum() - relevant[at].sum()) for at in parts if at.any()) / len(p))


def report(shown: list[Shown], weights: calibration.Weights) -> None:
    """A table by set: of first results and of all ten the calibration error, and how high
    first results score that are relevant, and those of queries without an answer."""
    head = ["set", "queries", "error, first", "error, ten", "Brier, first", "relevant, median"]
    head += ["not relevant, median", "without an answer, median", "of those under .3"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for name in [*dict.fromkeys(one.set for one in shown), "all"]:
        own = [one for one in shown if name in (one.set, "all")]
        scores = [one.relevance(weights) for one in own]
        relevant = [one.relevant for one in own]
        first, right = np.array([p[0] for p in scores]), np.array([r[0] for r in relevant])
        none = np.array([one.kind == "none" for one in own])
        cells = [
            error(first, right),
            error(np.concatenate(scores), np.concatenate(relevant)),
            ((first - right) ** 2).mean(),
            *(np.median(first[at]) for at in (right == 1, ~none & (right == 0), none) if at.any()),
            *([(first[none] < 0.3).mean()] if none.any() else []),
        ]
        print(f"| {name} | {len(own)} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    print()


def main() -> None:
    """Collect, or fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("collect", help="ask collections, and keep all stages' scores")
    one.add_argument("sets", type=Path, nargs="+", help="folders in BEIR layout")
    one.add_argument("--embed-model", default="tiny")
    one.add_argument("--rerank-model", help="without it no candidate is read by a reranker")
    one.add_argument("--queries", type=int, default=50, help="judged ones of each set, at most")
    one.add_argument("--out", type=Path, required=True, help="JSON lines; what is there stays")
    one.set_defaults(run=collect)
    other = commands.add_parser("fit", help="learn the weights, and measure them")
    other.add_argument("file", type=Path, help="what collect wrote")
    other.add_argument("--learn", nargs="+", required=True, help="sets to learn from")
    other.add_argument("--rerank-weight", type=float, help="default: that of the bundled reranker")
    said = "how often a query without an answer counts"
    other.add_argument("--doubt", type=int, default=1, help=said)
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
        weights = fit([one for one in shown if one.set in args.learn], args.doubt)
        print(f"[embedder.calibration.{name}]")
        print("\n".join(f"{key} = {value}" for key, value in weights.items()), "\n")
        print("Sets that it was learnt from:\n")
        report([one for one in shown if one.set in args.learn], weights)
        if others := [one for one in shown if one.set not in args.learn]:
            print("Others:\n")
            report(others, weights)


if __name__ == "__main__":
    main()
