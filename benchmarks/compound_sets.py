"""Write retrieval sets in languages that write compounds as one word, from Debian packages.

Queries of `help-XX` are the entries of the index of LibreOffice's help, which editors wrote; the
pages that an entry links to are relevant. Queries of `man-XX` are the descriptions in the NAME
sections of manual pages; the page without that section is relevant. XX: de, nl, da, sv.

    apt-get download libreoffice-help-{de,nl,da,sv,en-us} manpages-{de,nl,da,sv}
    for package in *.deb; do dpkg-deb -x $package unpacked; done
    python benchmarks/compound_sets.py unpacked sets
    qrank eval sets/help-de sets/man-de --configs bm25

The help is under the MPL 2.0, the manual pages under the GPL and other free licences; the sets are
not in the repository.
"""

import argparse
import gzip
import html
import json
import random
import re
from pathlib import Path

LANGUAGES = ("de", "nl", "da", "sv")
MOST = 400  # queries of a set
_ENTRY = re.compile(r'url:"([^?"#]+)[^"]*", app:"[^"]*", text:"((?:[^"\\]|\\.)*)"')
_TITLE = re.compile(r"<h1[^>]*>(.*?)</h1>", re.S)
_BREAK = re.compile(r"</?(?:p|h\d|li|tr|td|th|div|br|dt|dd|table|ul|ol)\b[^>]*>")
_HIDDEN = re.compile(r"<(script|style|svg|head)\b.*?</\1>|<!--.*?-->", re.S)
_TAG = re.compile(r"<[^>]+>")
_SECTION = re.compile(r"^\.SH +", re.M)
_ESCAPE = re.compile(r"\\f(?:\(..|\[[^\]]*\]|.)|\\[,/&|^:]")
Documents = dict[str, tuple[str, str]]  # title and text by id
Queries = dict[str, set[str]]  # ids of relevant documents by text


def text_of(page: str) -> str:
    """The text of an HTML page, one line per paragraph."""
    page = html.unescape(_TAG.sub("", _BREAK.sub("\n", _HIDDEN.sub("", page))))
    return "\n".join(" ".join(line.split()) for line in page.split("\n") if line.strip())


def help_set(root: Path, language: str) -> tuple[Documents, Queries]:
    """Pages of LibreOffice's help, and the entries of its index as queries."""
    folder = root / "usr/share/libreoffice/help"
    documents: Documents = {}
    for file in sorted((folder / language / "text").rglob("*.html")):
        _, _, page = file.read_text("utf-8").partition('<div id="DisplayArea"')
        page = page.partition(">")[2]
        title = _TITLE.search(page)
        text = text_of(page[: page.find('<div id="DonationFrame"')])
        if len(text) > 100:
            name = file.relative_to(folder).as_posix()
            documents[name] = (text_of(title[1]).replace("\n", " ") if title else "", text)
    untranslated = {entry for _, entry in entries(folder, "en-US")}
    queries: Queries = {}
    for url, entry in entries(folder, language):
        if url in documents and entry not in untranslated:
            queries.setdefault(entry, set()).add(url)
    return documents, queries


def entries(folder: Path, language: str) -> list[tuple[str, str]]:
    """(page, entry) of the help's index."""
    bookmarks = (folder / language / "bookmarks.js").read_text("utf-8")
    return [
        (url, " ".join(html.unescape(entry).replace("--", " ").split()))
        for url, entry in _ENTRY.findall(bookmarks)
    ]


def manual_set(root: Path, language: str) -> tuple[Documents, Queries]:
    """Manual pages without their NAME section, and its descriptions as queries."""
    documents: Documents = {}
    queries: Queries = {}
    for file in sorted((root / "usr/share/man" / language).rglob("*.gz")):
        source = gzip.decompress(file.read_bytes()).decode("utf-8", "replace")
        parts = _SECTION.split(source, maxsplit=2)
        if len(parts) < 3 or file.is_symlink():
            continue
        lines = [line for line in parts[1].split("\n")[1:] if not line.startswith(".\\")]
        description = _ESCAPE.sub("", " ".join(lines)).replace("\\-", "-").partition(" - ")[2]
        description = description.partition(" .")[0].strip()
        body = "\n".join(line for line in parts[2].split("\n") if not line.startswith('.\\"'))
        text = _ESCAPE.sub("", re.sub(r"^\.\w+ ?", "", body, flags=re.M)).replace("\\-", "-")
        if len(description.split()) > 1:
            documents[file.stem] = ("", text)
            queries.setdefault(description, set()).add(file.stem)
    return documents, queries


def write(folder: Path, documents: Documents, queries: Queries) -> None:
    """Write a set in BEIR layout with at most MOST queries, drawn at random."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    chosen = random.Random(20).sample(sorted(queries), min(MOST, len(queries)))
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as out:
        for name, (title, text) in documents.items():
            line = {"_id": name, "title": title, "text": text}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as out:
        for number, query in enumerate(chosen):
            line = {"_id": str(number), "text": query}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    with (folder / "qrels/test.tsv").open("w", encoding="utf-8") as out:
        out.write("query-id\tcorpus-id\tscore\n")
        for number, query in enumerate(chosen):
            out.writelines(f"{number}\t{name}\t1\n" for name in sorted(queries[query]))
    print(f"{folder}: {len(documents)} documents, {len(chosen)} queries")


def main() -> None:
    """Write the sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("unpacked", type=Path, help="where the packages were unpacked")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    for language in LANGUAGES:
        for kind, make in (("help", help_set), ("man", manual_set)):
            write(args.out / f"{kind}-{language}", *make(args.unpacked, language))


if __name__ == "__main__":
    main()
