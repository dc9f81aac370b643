"""Gather the training texts: supervised pairs, WordNet glosses, man pages, package summaries.

Writes into the build folder:
    texts.jsonl   one object a line: text, lang ("en", "code" or another), side ("q" or "d")
    pairs.jsonl   one object a line: q, d (line numbers in texts.jsonl), source, negatives
    twins.json    [[a, b], ...]: text a (another language) says what English text b says
Never reads a test collection.
"""

import argparse
import gzip
import json
import random
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

# Archive -> (most pairs, language of its texts).
SUPERVISED = {
    "squad-sentences": (11831, "en"),
    "policyqa": (2000, "en"),
    "wikiqa": (1040, "en"),
    "trecqa": (348, "en"),
    "covidfact": (1291, "en"),
    "healthver": (2018, "en"),
    "tldr-en": (16000, "en"),
    "nl2bash": (8000, "en"),
    "cosqa": (500, "en"),
    "mbpp": (474, "en"),
    "concode-java": (1000, "en"),
    "jaquad": (12000, "ja"),
    "tquad": (7662, "tr"),
    "tldr-multi": (30000, "multi"),
}
MOST_CHARS = 900


class Store:
    """Unique texts in order of arrival, and pairs of their numbers."""

    def __init__(self, most_chars: int = MOST_CHARS) -> None:
        self.most_chars = most_chars
        self.texts: list[dict[str, str]] = []
        self.pairs: list[dict[str, object]] = []
        self.numbers: dict[str, int] = {}

    def read(self, path: Path) -> None:
        """Read the texts that an earlier script wrote."""
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            self.numbers[row["text"]] = len(self.texts)
            self.texts.append(row)

    def text(self, text: str, lang: str, side: str) -> int:
        """Add a text, truncated to most_chars, unless it exists; returns its number."""
        text = text.strip()[: self.most_chars]
        if text not in self.numbers:
            self.numbers[text] = len(self.texts)
            self.texts.append({"text": text, "lang": lang, "side": side})
        return self.numbers[text]

    def pair(self, query: str, passage: str, source: str, lang: str, *, no: list[str]) -> int:
        """Add a pair; returns its query's number. no: negative passages."""
        if not query.strip() or not passage.strip():
            return -1
        q, d = self.text(query, lang, "q"), self.text(passage, lang, "d")
        wrong = [self.text(text, lang, "d") for text in no if text.strip()]
        self.pairs.append({"q": q, "d": d, "source": source, "negatives": wrong})
        return q


def supervised(folder: Path) -> Iterator[tuple[str, dict]]:
    """Yield (archive name, row), a random sample of each archive."""
    for name, (most, _) in SUPERVISED.items():
        lines = (folder / name / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
        for line in random.sample(lines, min(most, len(lines))):
            yield name, json.loads(line)


def command_key(row: dict) -> tuple[str, str]:
    """Identify a tldr example across languages: its page and its command without placeholders."""
    page = re.split(r" [-–—] | - ", row["title"])[0].strip()
    return page, re.sub(r"\{\{.*?\}\}|[^\x00-\x7f]+", "{}", row["positive"])


def wordnet(folder: Path, most: int) -> list[tuple[str, str]]:
    """(lemmas, gloss) of WordNet's data files; format: man page wndb(5WN)."""
    rows = []
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if line.startswith("  "):
                continue
            head, gloss = line.split(" | ", 1)
            fields = head.split(" ")
            count = int(fields[3], 16)
            words = [fields[4 + 2 * i].split("(")[0].replace("_", " ") for i in range(count)]
            rows.append((", ".join(words[:3]), gloss.strip()))
    return random.sample(rows, min(most, len(rows)))


def man_pages(folder: Path, most: int) -> list[tuple[str, str]]:
    """(summary, start of the description) of gzipped man pages, roughly stripped of markup."""
    paths = [path for section in "1578" for path in sorted(folder.glob(f"man{section}/*.gz"))]
    random.shuffle(paths)
    rows: list[tuple[str, str]] = []
    for path in paths:
        if len(rows) >= most:
            break
        if path.name.startswith("gcloud") and random.random() < 0.95:  # one tool, 12,000 pages
            continue
        try:
            raw = gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace")
        except (OSError, EOFError):
            continue
        raw = re.sub(r'^[.\'](?!SH|Sh|Nm|Nd|B |I |BR|IR).*$|\\"|\\f.|\\[&|%]', "", raw, flags=re.M)
        parts = re.split(r'^\.S[Hh] "?([A-Za-z ]+)"?.*$', raw, flags=re.M)
        sections = {parts[i].strip().upper(): parts[i + 1] for i in range(1, len(parts) - 1, 2)}
        name, about = sections.get("NAME", ""), sections.get("DESCRIPTION", "")
        strip = re.compile(r"^\.[A-Za-z]+ ?|\\", flags=re.M)
        name, about = (" ".join(strip.sub("", text).split()) for text in (name, about))
        if " - " in name and len(about) > 60:
            rows.append((name.split(" - ", 1)[1], f"{name.split(' - ')[0]}\n{about[:500]}"))
    return rows


def package_summaries(most: int) -> list[str]:
    """Name and one-line summary of Debian packages, from the machine's own package lists."""
    dump = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True).stdout
    pairs = re.findall(r"^Package: (\S+)$.*?^Description: (.+?)$", dump.decode(), re.M | re.S)
    rows = [
        f"{name}: {text}" for name, text in pairs if not re.search(r"-(dev|dbg|doc|data)$", name)
    ]
    return random.sample(rows, min(most, len(rows)))


def main() -> None:
    """Gather and write the texts; print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path, help="folder with the unpacked archives")
    parser.add_argument("out", type=Path, help="build folder")
    parser.add_argument("--wordnet", type=Path, help="folder with data.noun and the others")
    parser.add_argument("--man", type=Path, help="folder with man1, man5, ...")
    parser.add_argument("--packages", action="store_true", help="use `apt-cache dumpavail`")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the unlabelled sources")
    args = parser.parse_args()
    random.seed(1)
    store = Store()
    english: dict[tuple[str, str], list[int]] = defaultdict(list)
    foreign: list[tuple[int, tuple[str, str]]] = []
    for name, row in supervised(args.pairs):
        passage = row["positive"]
        if row.get("title") and name not in ("policyqa", "squad-sentences"):
            passage = f"{row['title']}\n{passage}"
        lang = row.get("lang") or SUPERVISED[name][1]
        query = re.sub(r"\[(\w)\]", r"\1", row["query"]) if name == "tldr-en" else row["query"]
        number = store.pair(query, passage, name, lang, no=row.get("negatives", [])[:8])
        if name == "tldr-en" and number >= 0:
            english[command_key(row)].append(number)
        if name == "tldr-multi" and number >= 0:
            foreign.append((number, command_key(row)))
    twins = [[number, english[key][0]] for number, key in foreign if len(english[key]) == 1]
    if args.wordnet:
        for lemma, gloss in wordnet(args.wordnet, int(45000 * args.scale)):
            store.pair(lemma, gloss, "wordnet", "en", no=[])
    if args.man:
        for query, passage in man_pages(args.man, int(6000 * args.scale)):
            store.pair(query, passage, "man", "en", no=[])
    if args.packages:
        for text in package_summaries(int(20000 * args.scale)):
            store.text(text, "en", "d")
    args.out.mkdir(parents=True, exist_ok=True)
    for name, rows in (("texts", store.texts), ("pairs", store.pairs)):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (args.out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    (args.out / "twins.json").write_text(json.dumps(twins), encoding="utf-8")
    print(f"{len(store.texts)} texts, {len(store.pairs)} pairs, {len(twins)} twins")


if __name__ == "__main__":
    main()
