"""Choose what a few CPU minutes can train on, and give each pair documents that BM25 gets wrong.

Reads the texts and pairs of a build folder, writes a smaller one: of each source a share of the
pairs; sentences joined with their neighbours to passages; for each query the best documents of its
source by BM25 which are not its own, as `negatives` behind those that the source names. Summaries
of packages, of which there are translations, are pairs across languages, and twins: the teacher's
vector of the English one is held to be that of the other.
"""

import argparse
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import languages
import numpy as np
import vocabulary
from scipy import sparse

# Pairs of a source at most.
MOST = {
    "squad-sentences": 11831,
    "nl2bash": 8000,
    "tldr-en": 4000,
    "wikiqa": 1040,
    "trecqa": 348,
    "cosqa": 500,
    "mbpp": 474,
    "concode-java": 1000,
    "covidfact": 1291,
    "healthver": 2018,
    "policyqa": 1500,
    "doc": 3000,
    "package": 2000,
    "python": 2500,
    "ontology": 2500,
    "man": 529,
    "wordnet": 5000,
    "dictionary": 1500,
    "tquad": 2000,
    "own-es": 1500,
    "own-tr": 1500,
    "own-de": 600,
    "own-fr": 600,
    "own-pt": 600,
    "own-it": 400,
    "cross-es": 500,
    "cross-tr": 500,
}
JOINED = "squad-sentences"  # rows in a row are of one article
PASSAGES = 5000  # queries of it that also get a passage
HARD = 8  # negatives by BM25
TRANSLATED = ("es", "de", "fr", "it", "pt", "tr", "ru")
TWINS = 2000  # of a language
STEM = 6  # letters: words that begin alike count as one
Row = dict[str, Any]


def terms(text: str) -> list[str]:
    """Words by their first letters."""
    return [word[:STEM] for word in re.findall(r"\w+", text.lower())]


def hard(queries: list[str], own: list[set[int]], docs: list[str]) -> list[list[int]]:
    """For each query the HARD documents that BM25 (k1 1.2, b 0.75) puts first, without `own`."""
    numbers: dict[str, int] = {}
    rows, columns, counts = [], [], []
    for place, text in enumerate(docs):
        for term, count in Counter(terms(text)).items():
            rows.append(place)
            columns.append(numbers.setdefault(term, len(numbers)))
            counts.append(count)
    found = np.bincount(columns, minlength=len(numbers))
    idf = np.log(1 + (len(docs) - found + 0.5) / (found + 0.5))
    lengths = np.bincount(rows, weights=counts, minlength=len(docs))
    per = 1.2 * (0.25 + 0.75 * lengths / lengths.mean())
    count = np.array(counts, dtype=np.float32)
    values = count * 2.2 / (count + per[rows]) * idf[columns]
    index = sparse.csc_matrix((values, (rows, columns)), shape=(len(docs), len(numbers)))
    made = []
    for text, mine in zip(queries, own, strict=True):
        asked = [numbers[term] for term in set(terms(text)) if term in numbers]
        scores = np.asarray(index[:, asked].sum(1)).ravel()
        most = min(len(docs), HARD + len(mine))
        best = np.argpartition(-scores, most - 1)[:most]
        best = best[np.argsort(-scores[best], kind="stable")]
        made.append([int(n) for n in best if n not in mine and scores[n] > 0][:HARD])
    return made


def passages(rows: list[Row], texts: list[Row]) -> dict[int, str]:
    """Row -> its sentence with some before and after it, of rows near it in the source."""
    made = {}
    for place in random.sample(range(len(rows)), min(PASSAGES, len(rows))):
        before, after = random.randint(0, 3), random.randint(0, 3)
        near = rows[max(0, place - before) : place + after + 1]
        sentences = dict.fromkeys(str(texts[row["d"]]["text"]) for row in near)
        if len(sentences) > 1:
            made[place] = " ".join(sentences)[:900]
    return made


def translated(folder: Path, most: int) -> Iterator[tuple[str, str, str]]:
    """(language, summary, English summary) of packages; folder: tr-en.txt, tr-es.txt, ..."""
    english = languages.descriptions(folder / "tr-en.txt")
    for lang in TRANSLATED:
        found = languages.descriptions(folder / f"tr-{lang}.txt")
        names = sorted(found.keys() & english.keys())
        for name in random.sample(names, min(most, len(names))):
            foreign, own = found[name][0], english[name][0]
            if foreign != own:
                yield lang, foreign, own


def in_order(
    texts: list[Row], pairs: list[Row], twins: list[list[int]]
) -> tuple[list[Row], list[Row], list[list[int]]]:
    """Pairs in random order, texts as pairs name them: the first texts make up whole pairs."""
    random.shuffle(pairs)
    places: dict[int, int] = {}
    for row in pairs:
        for number in (row["q"], row["d"]):
            places.setdefault(number, len(places))
    for number in range(len(texts)):
        places.setdefault(number, len(places))
    moved = [
        {
            **row,
            "q": places[row["q"]],
            "d": places[row["d"]],
            "negatives": [places[number] for number in row["negatives"]],
        }
        for row in pairs
    ]
    return [texts[n] for n in places], moved, [[places[a], places[b]] for a, b in twins]


def main() -> None:
    """Choose, join, mine, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path, help="folder that data.py and others wrote")
    parser.add_argument("out", type=Path, help="build folder to write")
    parser.add_argument("gguf", type=Path, help="tiny-embedding.gguf, for the vocabulary")
    parser.add_argument("--translations", type=Path, help="folder of Translation files")
    args = parser.parse_args()
    random.seed(1)
    texts = [json.loads(x) for x in (args.build / "texts.jsonl").read_text("utf-8").splitlines()]
    by_source: dict[str, list[Row]] = defaultdict(list)
    for line in (args.build / "pairs.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        by_source[row["source"]].append(row)
    kept: list[Row] = []
    numbers: dict[str, int] = {}
    out: list[Row] = []

    def keep(row: Row) -> int:
        text = str(row["text"])
        if text not in numbers:
            numbers[text] = len(out)
            out.append(row)
        return numbers[text]

    for source, most in MOST.items():
        rows = by_source[source]
        wide = passages(rows, texts) if source == JOINED else {}
        chosen = sorted(random.sample(range(len(rows)), min(most, len(rows))))
        made = [(keep(texts[rows[n]["q"]]), keep(texts[rows[n]["d"]]), n) for n in chosen]
        given = {n: [keep(texts[wrong]) for wrong in rows[n]["negatives"][:4]] for n in chosen}
        right: dict[int, set[int]] = defaultdict(set)
        for q, d, _ in made:
            right[q].add(d)
        for n, text in wide.items():
            q, old = numbers[str(texts[rows[n]["q"]]["text"])], rows[n]["d"]
            d = keep({**texts[old], "text": text})
            right[q].add(d)
            made.append((q, d, n))
        docs = sorted({d for _, d, _ in made} | {d for wrong in given.values() for d in wrong})
        place = {d: number for number, d in enumerate(docs)}
        # a passage with the right sentence in it is right, too
        inside = {q: [str(out[d]["text"]) for d in ds] for q, ds in right.items()}
        mined = hard(
            [str(out[q]["text"]) for q, _, _ in made],
            [{place[d] for d in right[q]} for q, _, _ in made],
            [str(out[d]["text"]) for d in docs],
        )
        for (q, d, n), wrong in zip(made, mined, strict=True):
            looks = [docs[number] for number in wrong]
            looks = [x for x in looks if not any(t in str(out[x]["text"]) for t in inside[q])]
            kept.append({"q": q, "d": d, "source": source, "negatives": given[n] + looks})
        print(source, len(made), len(docs), flush=True)
    twins = []
    for lang, foreign, english in translated(args.translations, TWINS) if args.translations else ():
        a = keep({"text": foreign, "lang": lang, "side": "q"})
        b = keep({"text": english, "lang": "en", "side": "d"})
        twins.append([a, b])
        kept.append({"q": a, "d": b, "source": f"twin-{lang}", "negatives": []})
    out, kept, twins = in_order(out, kept, twins)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, lines in (("texts", out), ("pairs", kept)):
        body = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines)
        (args.out / f"{name}.jsonl").write_text(body, encoding="utf-8")
    (args.out / "twins.json").write_text(json.dumps(twins), encoding="utf-8")
    cut = vocabulary.from_gguf(args.gguf)
    (args.out / "vocabulary.json").write_text(json.dumps(cut), encoding="utf-8")
    print(f"{len(out)} texts, {len(kept)} pairs")


if __name__ == "__main__":
    main()
