"""Add documentation and reference works to the training texts of data.py.

Appends to texts.jsonl and pairs.jsonl of the build folder, so that teacher vectors already there
keep their places; teacher.py then encodes what is new. Sources, each optional:
    --translations  Debian's package descriptions (apt's Translation-en, unpacked): summary, text
    --docs          folders (or files) of HTML: heading, section; and unpacked dict packages:
                    headword, entry
    --wordnet       the synsets of WordNet that data.py left out: lemmas, gloss
    --obo           an ontology in OBO 1.2 (HPO's hp.obo): name or synonym, definition
    --icd           ICD-10-CM's tabular XML: a code's description, its inclusion terms
    --python        folders of Python source: a docstring's first line, the function without it
"""

import argparse
import ast
import gzip
import html
import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import data

MOST_CHARS = 1200  # as long as qrank's chunks
Pair = tuple[str, str]


def descriptions(path: Path) -> Iterator[Pair]:
    """(summary, long description) of apt's Translation-en, without -dev and similar packages."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        match = re.match(r"Package: (\S+)\n.*?^Description-en: (.+?)\n(.*)", block, re.M | re.S)
        if not match or re.search(r"-(dev|dbg|doc|data|dbgsym|l10n.*)$", match[1]):
            continue
        text = re.sub(r"^ \.?", "", match[3], flags=re.M).strip()
        if len(text) > 120:
            yield match[2], f"{match[1]}\n{text}"


def sections(folder: Path) -> Iterator[Pair]:
    """(heading, text below it) of HTML pages, or of one; text: whole paragraphs, at most
    MOST_CHARS."""
    for path in filter(
        Path.is_file, sorted(folder.rglob("*.html")) if folder.is_dir() else [folder]
    ):
        raw = path.read_text(encoding="utf-8", errors="replace")
        raw = re.sub(r"(?is)<(script|style|head|nav|footer).*?</\1>", " ", raw)
        parts = re.split(r"(?is)<h([1-4])[^>]*>(.*?)</h\1>", raw)
        for i in range(1, len(parts) - 2, 3):
            heading, body = plain(parts[i + 1]).strip(" #¶"), ""
            for paragraph in re.split(r"(?i)</(?:p|li|dd|dt|pre|tr|td)>", parts[i + 2]):
                text = plain(paragraph)
                if len(body) + len(text) > MOST_CHARS:
                    break
                body += text + "\n" if text else ""
            if len(heading) > 5 and len(body) > 200:
                yield heading, body


def plain(markup: str) -> str:
    """The text of HTML, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def dictionary(path: Path) -> Iterator[Pair]:
    """(headword, entry) of a dictd database (.dict.dz), whose entries start in the first column."""
    raw = gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace")
    for entry in re.split(r"\n(?=[^\s])", raw):
        head, _, rest = entry.partition("\n")
        word = head.split(" \\")[0].strip()
        rest = re.sub(r"\[[^]]*\]|[{}]|\\[^\\]*\\", " ", f"{head[len(word) :]}\n{rest}")
        text = " ".join(rest.split()).strip(", ")
        if 2 < len(word) < 40 and len(text) > 60:
            yield word, text


def ontology(path: Path) -> Iterator[Pair]:
    """(name, definition) and (synonym, name and definition) of an OBO file's terms."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        name = re.search(r"^name: (.+)$", block, re.M)
        about = re.search(r'^def: "(.+?)(?<!\\)"', block, re.M)
        if not name or not about:
            continue
        yield name[1], about[1]
        for synonym in re.findall(r'^synonym: "(.+?)"', block, re.M)[:2]:
            yield synonym, f"{name[1]}: {about[1]}"


def classification(path: Path) -> Iterator[Pair]:
    """(description, terms it includes) of ICD-10-CM's tabular list."""
    for node in ElementTree.parse(path).getroot().iter("diag"):
        terms = [
            note.text or ""
            for part in ("inclusionTerm", "includes", "excludes1")
            for note in node.findall(f"{part}/note")
        ]
        about = node.findtext("desc") or ""
        if terms and "unspecified" not in about:
            yield about, "; ".join(terms)


def functions(folder: Path) -> Iterator[Pair]:
    """(first line of the docstring, source without it) of the functions below a folder."""
    for path in sorted(folder.rglob("*.py")):
        if "test" in path.name:
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            about = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
            if not about or len(node.body) < 2:
                continue
            line = about.split("\n\n")[0].replace("\n", " ")
            node.body, node.decorator_list = node.body[1:], []
            if 15 < len(line) < 250 and " " in line:
                yield line, ast.unparse(node)


def sample(rows: Iterable[Pair], most: int) -> list[Pair]:
    """A random sample of at most `most` rows with different passages."""
    unique = list({passage[:200]: (query, passage) for query, passage in rows}.values())
    return random.sample(unique, min(most, len(unique)))


def main() -> None:
    """Gather and append the texts; print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path, help="build folder that data.py filled")
    parser.add_argument("--translations", type=Path)
    parser.add_argument("--docs", type=Path, nargs="*", default=[])
    parser.add_argument("--wordnet", type=Path)
    parser.add_argument("--obo", type=Path)
    parser.add_argument("--icd", type=Path)
    parser.add_argument("--python", type=Path, nargs="*", default=[])
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the numbers kept")
    args = parser.parse_args()
    random.seed(4)
    store = data.Store(MOST_CHARS)
    store.read(args.build / "texts.jsonl")
    before = len(store.texts)

    def add(source: str, rows: Iterable[Pair], most: int) -> None:
        new = (row for row in rows if row[1].strip()[:MOST_CHARS] not in store.numbers)
        pairs = sample(new, int(most * args.scale))
        print(f"{source}: {len(pairs)}", flush=True)
        for query, passage in pairs:
            store.pair(query, passage, source, "en", no=[])

    if args.translations:
        add("package", descriptions(args.translations), 20000)
    for folder in args.docs:
        add("doc", sections(folder), 3000)
        for path in sorted(folder.rglob("*.dict.dz")):
            add("dictionary", dictionary(path), 25000)
    if args.wordnet:
        add("wordnet", data.wordnet(args.wordnet, 10**9), 40000)
    if args.obo:
        add("ontology", ontology(args.obo), 15000)
    if args.icd:
        add("icd", classification(args.icd), 8000)
    for folder in args.python:
        add("python", functions(folder), 1200)
    for name, rows in (("texts", store.texts[before:]), ("pairs", store.pairs)):
        with (args.build / f"{name}.jsonl").open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    print(f"{len(store.texts) - before} new texts, {len(store.pairs)} new pairs")


if __name__ == "__main__":
    main()
