"""Links between documents: where they lead, and which documents link to one.

A wiki-link is resolved as in Obsidian: it is the end of a note's path, and `.md` may be omitted; if
several match, the note in the same folder is taken, else the one with the shortest path. Any other
link is a path relative to its file's folder; if no such file exists, the only indexed file with
that name, if there is just one, is taken to be the same file, moved.

Links are not stored: those of a document are parsed from its text; documents that link to it are
looked for among the chunks that contain the words of its name.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from pathlib import PurePosixPath

from qrank.analysis.fields import values
from qrank.analysis.links import HTML, SUFFIXES, FoundLink, Link, Links, Mention, links
from qrank.analysis.names import name_key
from qrank.errors import ExtractError, InputError, NoTextError
from qrank.names import disk_path, is_folder, spellings
from qrank.results import IN_ARCHIVE
from qrank.searching.query import parse
from qrank.store.filters import EVERYTHING, Filter
from qrank.store.interface import Store

MOST = 100_000  # chunks that are examined for links to a document
MOST_NAMED = 1000  # chunks of documents of one name
MOST_BYTES = 16 << 20  # of an HTML file
_ENDS = (  # what a link may omit at the end of a path
    *("", ".md", ".markdown", ".rst", ".org", ".html"),
    *("/index.md", "/README.md", "/index.html", "/index.rst"),
)


class Graph:
    """The links between the documents of an index, looked up on demand."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._named = lru_cache(maxsize=4096)(self._locations)

    def location(self, path: str) -> str:
        """The location of an indexed document. Raises InputError when path is not indexed."""
        for each in spellings(path):
            if chunks := self._store.chunks_of_file(each):
                return chunks[0].location
        if is_folder(path):
            raise InputError(f"{path} is a folder", hint="name an indexed file in it")
        raise InputError(f"{path} is not in the index", hint="qrank status PATH says why")

    def of(self, path: str) -> Links:
        """The links of a document, the links to it, and unlinked mentions of its title. Raises
        InputError when path is not indexed."""
        here = self.location(path)
        return Links(here, self.outgoing(here), *self._incoming(here))

    def outgoing(self, here: str) -> list[FoundLink]:
        """The links of a document in order; `to` is None for broken links."""
        return [
            FoundLink(here, line, link.target, link.heading, self._target(here, link))
            for link, line in self._links(here)
        ]

    def sources(self, here: str) -> set[str]:
        """The locations of the documents that link to the one here."""
        return {link.path for link in self._incoming(here, mentions=False)[0]}

    def _incoming(
        self, here: str, *, mentions: bool = True
    ) -> tuple[list[FoundLink], list[Mention]]:
        name = PurePosixPath(here).name
        result: dict[FoundLink, None] = {}  # a line may have one twice
        sources = chain(self._containing(PurePosixPath(name).stem), self._html_files())
        for source in sources:
            if source == here:
                continue
            for link, line in self._links(source):
                if self._may_mean(link, name) and self._target(source, link) == here:
                    result[FoundLink(source, line, link.target, link.heading, here)] = None
        order = sorted(result, key=lambda link: (link.path, link.line))
        return order, self._mentions(here) if mentions else []

    def _mentions(self, here: str) -> list[Mention]:
        """Where the title, file name or an alias of a document occurs in another, outside of
        links."""
        own = self._store.chunks_of_file(here)
        names = {own[0].title, PurePosixPath(here).stem, *_aliases(own[0].fields)} if own else set()
        result: dict[tuple[str, int], Mention] = {}
        for name in sorted(name for name in names if len(name_key(name)) > 2):
            pattern = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
            quoted = name.replace('"', " ")
            ids = self._store.bm25(
                [], MOST, Filter(required=parse(f'"{quoted}"', self._store.languages()).required)
            )
            for stored in self._store.chunks(i for i, _ in ids).values():
                if stored.location == here:
                    continue
                text = stored.chunk.text
                within = links(text, _suffix(stored.location))
                for match in pattern.finditer(text):
                    if not any(x.start < match.end() and match.start() < x.end for x in within):
                        line = stored.chunk.start_line + text.count("\n", 0, match.start())
                        result[stored.location, line] = Mention(stored.location, line, match[0])
        return [result[key] for key in sorted(result)]

    def _links(self, here: str) -> Iterator[tuple[Link, int]]:
        """The links of a document, each with its line."""
        suffix = _suffix(here)
        if suffix not in SUFFIXES:
            return
        if suffix in HTML:  # its indexed text has no links any more
            text = _html_source(here)
            for link in links(text, suffix):
                yield link, 1 + text.count("\n", 0, link.start)
            return
        for stored in self._store.chunks_of_file(here):
            if stored.location == here:
                text = stored.chunk.text
                for link in links(text, suffix):
                    yield link, stored.chunk.start_line + text.count("\n", 0, link.start)

    def _target(self, here: str, link: Link) -> str | None:
        """The indexed document or the file that a link leads to; None when there is neither."""
        target = link.target.replace("\\", "/")
        folder = os.path.dirname(here)  # noqa: PTH120
        if not link.wiki or target.startswith(("./", "../")):
            path = os.path.normpath(os.path.join(folder, target.lstrip("/") or "."))  # noqa: PTH118
            for start in (path, target) if target.startswith("/") else (path,):
                for end in _ENDS:
                    if indexed := self._indexed_path(start + end):
                        return indexed
                if os.path.isfile(disk_path(start)):  # noqa: PTH113
                    return start
        linked = self._ending(target)
        if link.wiki:
            return min(linked, key=lambda path: _nearness(path, folder), default=None)
        name = PurePosixPath(target).name
        return linked[0] if len(linked := self._ending(name)) == 1 else None

    def _ending(self, target: str) -> list[str]:
        """The indexed documents whose path ends with target, with or without a note's suffix."""
        ending = _folded(target.strip("/").removeprefix("./"))
        ends = (
            {ending}
            if _suffix(ending) in SUFFIXES
            else {ending, *(f"{ending}.{s}" for s in SUFFIXES)}
        )
        name = PurePosixPath(target).name
        return [
            path
            for path in self._named(name_key(name))
            if any(_folded(path) == end or _folded(path).endswith(f"/{end}") for end in ends)
        ]

    def _indexed_path(self, path: str) -> str | None:
        """The indexed document at a path, spelled exactly so or else but for case."""
        folded = _folded(path)
        named = self._named(name_key(PurePosixPath(path).name))
        exact = [each for each in named if each == path]
        return next(iter(exact or [each for each in named if _folded(each) == folded]), None)

    def _locations(self, key: str) -> list[str]:
        """The documents whose file name or title has this `name_key`."""
        if not key:
            return []
        ids = self._store.named_chunks(key, EVERYTHING, MOST_NAMED)
        chunks = self._store.chunks(ids).values()
        return sorted({stored.location for stored in chunks})

    def _containing(self, name: str) -> set[str]:
        """The documents with a chunk that contains all words of a name."""
        words = " ".join(f'"{word}"' for word in re.findall(r"\w+", name))
        required = parse(words, self._store.languages()).required
        if not required:
            return set()
        ids = [i for i, _ in self._store.bm25([], MOST, Filter(required=required))]
        return {
            stored.location
            for at in range(0, len(ids), 1000)
            for stored in self._store.chunks(ids[at : at + 1000]).values()
            if _suffix(stored.location) in SUFFIXES - HTML
        }

    def _html_files(self) -> Iterator[str]:
        """The indexed HTML files."""
        return self._store.locations(Filter(suffixes=tuple(f".{suffix}" for suffix in HTML)))

    @staticmethod
    def _may_mean(link: Link, name: str) -> bool:
        """Whether a link may lead to a file of this name: it has that name, maybe without suffix,
        or is the folder of an index or README file."""
        last, own = _folded(PurePosixPath(link.target).name), _folded(name)
        return own.startswith((last, "index.", "readme."))


def _aliases(fields: str) -> list[str]:
    """Other names of a document, which its front matter says."""
    own: dict[str, object] = json.loads(fields) if fields else {}
    return [each.text for each in values(own) if each.name in ("aliases", "alias")]


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix[1:].lower()


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _nearness(path: str, folder: str) -> tuple[bool, int, int, str]:
    """A sort key: files in the folder first, then those with the shortest path."""
    return (os.path.dirname(path) != folder, path.count("/"), len(path), path)  # noqa: PTH120


def _html_source(path: str) -> str:
    """The source of an HTML file; "" when it can't be read or is inside an archive."""
    from qrank.ingest.content import open_regular
    from qrank.ingest.extract.html import decode_html

    if IN_ARCHIVE in path:
        return ""
    try:
        with open_regular(path) as file:
            return decode_html(file.read(MOST_BYTES))
    except (OSError, NoTextError, ExtractError):
        return ""
