"""Add texts in other languages than English, and their translations.

Appends to texts.jsonl and pairs.jsonl of the build folder. A pair is a heading and its passage in
one language, or a heading and the English passage. Sources, each optional:
    --translations  FOLDER  apt's Translation-XX, unpacked as tr-XX.txt (English: tr-en.txt)
    --help          FOLDER  LibreOffice's help: one folder a language, the same pages in each
    --mallard       FOLDER  GNOME's help: LANGUAGE/*/*.page
    --guide         FOLDERS manuals: LANGUAGE/*.html
    --dictionaries  FILES   dict packages of two languages: word, entry
"""

import argparse
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import data
from documents import MOST_CHARS, Pair, dictionary, plain, sections

# Language -> (names of its folders, share of its pairs that is used).
LANGUAGES = {
    "es": (("es", "es-ES"), 1.0),
    "tr": (("tr", "tr-TR"), 1.0),
    "zh": (("zh-CN", "zh_CN"), 1.0),
    "hi": (("hi",), 1.0),
    "ja": (("ja", "ja-JP"), 0.8),
    "de": (("de", "de-DE"), 0.8),
    "fr": (("fr", "fr-FR"), 0.7),
    "ru": (("ru", "ru-RU"), 0.7),
    "ko": (("ko", "ko-KR"), 0.5),
    "it": (("it", "it-IT"), 0.5),
    "pt": (("pt-BR", "pt_BR"), 0.6),
    "vi": (("vi", "vi-VN"), 0.4),
}
SCRIPTS = {
    "zh": r"[\u4e00-\u9fff]",
    "hi": r"[\u0900-\u097f]",
    "ja": r"[\u3040-\u30ff\u4e00-\u9fff]",
    "ru": r"[\u0400-\u04ff]",
    "ko": r"[\uac00-\ud7af]",
}
Keyed = dict[tuple[str, int], Pair]


def written(text: str, lang: str) -> bool:
    """Whether a text is mostly in the language's script: pages are often translated in part."""
    if lang not in SCRIPTS:
        return True
    own = len(re.findall(SCRIPTS[lang], text))
    return own > len(re.findall(r"[A-Za-z]", text))


def descriptions(path: Path) -> dict[str, Pair]:
    """Package -> (summary, long description) of a Translation file."""
    result = {}
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        match = re.match(
            r"Package: (\S+)\n.*?^Description-(?!md5)\w+: (.+?)\n(.*)", block, re.M | re.S
        )
        if not match or re.search(r"-(dev|dbg|doc|data|dbgsym|l10n.*)$", match[1]):
            continue
        text = re.sub(r"\n(?=\S)", " ", re.sub(r"^ \.?", "", match[3], flags=re.M)).strip()
        if len(text) > 60:
            result[match[1]] = match[2], f"{match[1]}\n{text}"
    return result


def keyed_sections(folder: Path, pattern: str) -> Keyed:
    """(page, section) -> (heading, text) of a folder of HTML pages."""
    made: Keyed = {}
    for path in sorted(folder.glob(pattern)):
        for place, pair in enumerate(sections(path)):
            made[str(path.relative_to(folder)), place] = pair
    return made


def mallard(folder: Path) -> Keyed:
    """(page, 0) -> (title, text) of Mallard pages."""
    made: Keyed = {}
    for path in sorted(folder.glob("*/*.page")):
        try:
            root = ElementTree.parse(path).getroot()
        except ElementTree.ParseError:
            continue
        name = "{http://projectmallard.org/1.0/}"
        title = "".join(next(root.iter(f"{name}title"), root).itertext())
        parts = (" ".join("".join(node.itertext()).split()) for node in root.iter(f"{name}p"))
        text = "\n".join(part for part in parts if part)
        if len(text) > 100:
            made[str(path.relative_to(folder)), 0] = " ".join(title.split()), text
    return made


def of_language(folder: Path, lang: str, read: str) -> Keyed:
    """The pages of one language, in the first of its folders that exists."""
    names = LANGUAGES[lang][0] if lang in LANGUAGES else ("en-US", "en", "C")
    for name in names:
        if (folder / name).exists():
            return mallard(folder / name) if read == "" else keyed_sections(folder / name, read)
    return {}


def crossed(own: Keyed, english: Keyed, lang: str) -> Iterator[tuple[str, Pair]]:
    """("own", (heading, text)) and ("cross", (heading, English text)) of translated pages."""
    for key, (heading, text) in own.items():
        if not written(text, lang) or (key in english and english[key][1] == text):
            continue
        yield "own", (heading, text)
        if key in english:
            yield "cross", (heading, english[key][1])


def both_ways(rows: Iterable[Pair]) -> Iterator[Pair]:
    """Dictionary entries, without markup and truncated."""
    for word, text in rows:
        yield word, plain(text)[:300]


def main() -> None:
    """Gather and append the texts; print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path, help="build folder that data.py filled")
    parser.add_argument("--translations", type=Path)
    parser.add_argument("--help-pages", type=Path)
    parser.add_argument("--mallard", type=Path)
    parser.add_argument("--guide", type=Path, nargs="*", default=[])
    parser.add_argument("--dictionaries", type=Path, nargs="*", default=[])
    parser.add_argument("--most", type=int, default=3000, help="pairs of a source and language")
    args = parser.parse_args()
    random.seed(6)
    store = data.Store(MOST_CHARS)
    store.read(args.build / "texts.jsonl")
    before = len(store.texts)

    def add(source: str, lang: str, rows: list[Pair], most: float) -> None:
        pairs = random.sample(rows, min(int(most), len(rows)))
        print(f"{source}-{lang}: {len(pairs)} of {len(rows)}", flush=True)
        for query, passage in pairs:
            store.pair(query, passage, f"{source}-{lang}", lang, no=[])

    folders = [(args.help_pages, "text/**/*.html"), (args.mallard, "")]
    folders += [(guide, "*.html") for guide in args.guide]
    english = [(of_language(f, "en", read) if f else {}) for f, read in folders]
    packages = descriptions(args.translations / "tr-en.txt") if args.translations else {}
    for lang, (_, share) in LANGUAGES.items():
        rows: dict[str, list[Pair]] = defaultdict(list)
        for (folder, read), other in zip(folders, english, strict=True):
            if folder:
                for kind, pair in crossed(of_language(folder, lang, read), other, lang):
                    rows[kind].append(pair)
        path = args.translations / f"tr-{lang}.txt" if args.translations else Path("none")
        for name, pair in (descriptions(path) if path.exists() else {}).items():
            if written(pair[1], lang):
                rows["package"].append(pair)
                if name in packages and random.random() < 0.4:
                    rows["cross"].append((pair[0], packages[name][1]))
        for kind, factor in (("own", 1.0), ("package", 0.5), ("cross", 0.7)):
            add(kind, lang, rows[kind], args.most * share * factor)
    for path in args.dictionaries:
        add(
            "dict",
            path.name.split("-", 1)[1].split(".")[0],
            list(both_ways(dictionary(path))),
            4000,
        )
    for name, new in (("texts", store.texts[before:]), ("pairs", store.pairs)):
        with (args.build / f"{name}.jsonl").open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in new)
    print(f"{len(store.texts) - before} new texts, {len(store.pairs)} new pairs")


if __name__ == "__main__":
    main()
