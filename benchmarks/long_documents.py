"""Write a retrieval set of queries for lines of long documents, from manuals of Debian packages.

Queries are the entries of the manuals' indexes, which their authors wrote; the lines that an entry
links to are relevant. A document is an HTML page with 30 KB of text or more (a book, or a chapter
of one), converted to Markdown.

    apt-get download r-doc-html autoconf-doc libtool-doc python3.11-doc
    for package in *.deb; do dpkg-deb -x $package unpacked; done
    python benchmarks/long_documents.py unpacked long
    qrank index long --db long.db
    qrank eval long/queries.jsonl --db long.db --configs bm25,hybrid

The manuals are under the GFDL, the GPL and the PSF's licence; the set is not in the repository.
"""

import argparse
import html
import json
import random
import re
from pathlib import Path

FOLDERS = {  # of unpacked/usr/share/doc
    "r-doc-html/manual": "*.html",
    "autoconf": "*.html",
    "libtool": "*.html",
    "python3.11/html": "*/*.html",
}
LEAST = 30_000  # characters of a document
MOST = 75  # queries of each manual
# Entries of an index by texinfo or Sphinx.
_ENTRY = re.compile(r'<a href="([^"#]*)#([^"]+)">((?:(?!</?a\b).)*?)</a>', re.S)
_ROW = re.compile(
    r'<tr><td></td><td valign="top">.*?</tr>|<table class="index-\w+".*?</table>', re.S
)
_HIDDEN = re.compile(r"<(script|style|head)\b.*?</\1>|<!--.*?-->", re.S)
_ANCHOR = re.compile(r'<\w+\b[^>]*?\b(?:id|name)="([^"]+)"[^>]*>')
_HEADING = re.compile(r"<h([1-6])\b[^>]*>(.*?)</h\1>", re.S)
_BREAK = re.compile(r"</?(?:p|li|tr|td|div|br|dt|dd|table|ul|ol|dl|pre)\b[^>]*>")
_TAG = re.compile(r"<[^>]+>")
_MARK = re.compile("\x01([^\x02]*)\x02")


def converted(page: str) -> tuple[str, dict[str, int]]:
    """A page of HTML as Markdown, and the number of each anchor's line, from 1."""
    page = _ANCHOR.sub(lambda tag: f"{tag[0]}\x01{tag[1]}\x02", _HIDDEN.sub("", _ROW.sub("", page)))
    page = _HEADING.sub(lambda h: f"<p>{'#' * int(h[1])} {' '.join(h[2].split())}<p>", page)
    lines: list[str] = []
    anchors: dict[str, int] = {}
    pending: list[str] = []  # anchors before the next line with text
    for line in html.unescape(_TAG.sub("", _BREAK.sub("\n\n", page))).split("\n"):
        text = " ".join(_MARK.sub("", line).replace("¶", "").split())
        pending += _MARK.findall(line)
        if text or (lines and lines[-1]):
            lines.append(text)
        if text:
            anchors |= dict.fromkeys(pending, len(lines))
            pending.clear()
    return "\n".join(lines), anchors


def main() -> None:
    """Write the set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("unpacked", type=Path, help="where the packages were unpacked")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    count = 0
    chosen: dict[str, set[str]] = {}
    for folder, pattern in FOLDERS.items():
        root = args.unpacked / "usr/share/doc" / folder
        anchors: dict[Path, dict[str, int]] = {}
        queries: dict[str, set[str]] = {}
        for file in sorted(root.glob(pattern)):
            text, lines = converted(file.read_text("utf-8", "replace"))
            if len(text) >= LEAST:
                anchors[file] = lines
                (args.out / name_of(root, file)).write_text(text, "utf-8")
                count += 1
        for file in sorted({*anchors, *root.glob("genindex-all.html"), *root.glob(pattern)}):
            for target, anchor, entry in _ENTRY.findall(file.read_text("utf-8", "replace")):
                place = (root / target).resolve() if target else file
                line = anchors.get(place, {}).get(html.unescape(anchor))
                query = " ".join(html.unescape(_TAG.sub("", entry)).split())
                in_index = file.name == "genindex-all.html" or anchor.startswith("index-")
                if line and in_index and re.search(r"[^\W\d_]{4}", query) and query[0] != "(":
                    queries.setdefault(query, set()).add(f"{name_of(root, place)}:{line}")
        sample = random.Random(20).sample(sorted(queries), min(MOST, len(queries)))
        chosen |= {query: queries[query] for query in sample}
    with (args.out / "queries.jsonl").open("w", encoding="utf-8") as out:
        for query, places in chosen.items():
            out.write(json.dumps({"query": query, "relevant": sorted(places)}) + "\n")
    print(f"{args.out}: {count} documents, {len(chosen)} queries")


def name_of(root: Path, file: Path) -> str:
    """The name of a document's file in the set."""
    return "-".join((root.name, *file.relative_to(root).parts)).replace(".html", ".md")


if __name__ == "__main__":
    main()
