"""Links to other files in Markdown (with wiki-links), Org, reStructuredText and HTML.

Links to the web, to mail addresses and within the same document are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

MARKDOWN = frozenset("md markdown mdown mkd mdx qmd rmd".split())
HTML = frozenset("html htm xhtml".split())
ORG, RST = frozenset(["org"]), frozenset(["rst", "rest"])
SUFFIXES = MARKDOWN | HTML | ORG | RST

_FENCE = re.compile(r"^([ \t]*)(`{3,}+|~{3,}+)[^\n]*\n.*?(?:^[ \t]*\2[^\n]*$|\Z)", re.M | re.S)
_TICKS = re.compile(r"`+|\n")
_WIKI = re.compile(r"(!?)\[\[([^\[\]\n|#^]*)((?:[#^][^\[\]\n|]*)?)(?:\\?\|[^\[\]\n]*)?\]\]")
_INLINE = re.compile(
    r"(!?)\[(?:[^\[\]\n]|\[[^\[\]\n]*\])*\]\(\s*(?:<([^<>\n]*)>|([^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)*))"
    r"(?:\s+(?:\"[^\"\n]*\"|'[^'\n]*'|\([^()\n]*\)))?\s*\)"
)
_DEFINED = re.compile(r"^ {0,3}\[[^\[\]\n]+\]:[ \t]+(?:<([^<>\n]*)>|(\S+))", re.M)
_ORG = re.compile(r"\[\[(?:file:)?([^\[\]\n]+)\](?:\[[^\[\]\n]*\])?\]")
_RST = re.compile(
    r"`[^`<>\n]*<([^<>\n]+)>`__?"
    r"|^\.\. _[^:\n]+:[ \t]+(\S[^\n]*)$"
    r"|:doc:`(?:[^`<>\n]*<)?([^`<>\n]+)>?`"
    r"|^[ \t]*\.\. (?:include|image|figure|literalinclude)::[ \t]+(\S[^\n]*)$",
    re.M,
)
_TOCTREE = re.compile(r"^([ \t]*)\.\. toctree::[^\n]*\n((?:\1[ \t]+[^\n]*\n?|[ \t]*\n)*)", re.M)
_ATTRIBUTE = re.compile(
    r"<(?:a|area|img|iframe|embed)\s(?:[^<>]*?\s)?(?:href|src)\s*=\s*(?:\"([^\"<>]*)\"|'([^'<>]*)'|([^\s\"'<>]+))",
    re.I,
)
_HIDDEN = re.compile(r"<(?:!--|script\b|style\b)", re.I)
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|//")
_NO_MARK = re.compile(r"[^\n]")


class Link(NamedTuple):
    """A link to another file. target: as written, without the fragment (#…); heading: the fragment;
    wiki: a wiki-link, whose target is a note's name and not a path; start, end: character offsets
    of the link in the text."""

    target: str
    wiki: bool
    start: int
    end: int
    heading: str = ""


@dataclass(frozen=True, slots=True)
class FoundLink:
    """A link in the document at path; line counts from 1. target, heading: as written; to: the
    location of the indexed document or file it resolves to, None when it is broken."""

    path: str
    line: int
    target: str
    heading: str
    to: str | None


@dataclass(frozen=True, slots=True)
class Mention:
    """A line that names a document without linking to it; line counts from 1."""

    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Links:
    """The links of a document, those to it, and where it is mentioned without a link."""

    path: str
    outgoing: list[FoundLink]
    incoming: list[FoundLink]
    mentions: list[Mention]


def links(text: str, suffix: str) -> list[Link]:
    """The links of a text in order; suffix (without the dot) selects the syntax. Empty for a
    suffix that is not in SUFFIXES.

    >>> [(x.target, x.heading) for x in links("[a](b%20c.md#d) [[Note#Top|n]] `[[x]]`", "md")]
    [('b c.md', 'd'), ('Note', 'Top')]
    """
    if suffix in MARKDOWN:
        result = _markdown(text)
    elif suffix in HTML:
        result = _plain(_ATTRIBUTE, _without_hidden(text))
    elif suffix in ORG:
        result = _org(text)
    elif suffix in RST:
        result = _rst(text)
    else:
        return []
    return sorted(result, key=lambda link: link.start)


def _markdown(text: str) -> Iterator[Link]:
    text = _without_code(_FENCE.sub(lambda match: _blank(match[0]), text))
    for match in _WIKI.finditer(text):
        if target := match[2].rstrip("\\").strip():  # [[a\|b]] in a table
            yield Link(target, True, *match.span(), match[3].lstrip("#^").rstrip("\\").strip())
    yield from _plain(_INLINE, text, first=2)
    yield from _plain(_DEFINED, text)
    yield from _plain(_ATTRIBUTE, text)


def _org(text: str) -> Iterator[Link]:
    for match in _ORG.finditer(text):
        path, _, heading = match[1].partition("::")
        if path[:1] in "*#(" or _ELSEWHERE.match(path) or not path.strip():
            continue
        yield Link(path.strip(), False, *match.span(), heading)


def _rst(text: str) -> Iterator[Link]:
    yield from _plain(_RST, text)
    for match in _TOCTREE.finditer(text):
        at = match.start(2)
        for line in match[2].splitlines(keepends=True):
            entry = line.strip()
            if named := re.fullmatch(r".*<([^<>]+)>", entry):
                entry = named[1]
            if entry and not entry.startswith(":") and not _ELSEWHERE.match(entry):
                yield Link(entry, False, at, at + len(line.rstrip()))
            at += len(line)


def _plain(pattern: re.Pattern[str], text: str, first: int = 1) -> Iterator[Link]:
    """Links whose target, a path or URL, is the first group that matched, from group first on."""
    for match in pattern.finditer(text):
        target = next((group for group in match.groups()[first - 1 :] if group), "").strip()
        if target.lower().startswith("file:"):
            target = re.sub(r"^file:(?://(?:localhost)?(?=/))?", "", target, flags=re.I)
        elif _ELSEWHERE.match(target):
            continue
        path, _, heading = target.partition("#")
        path = unquote(path.partition("?")[0]).strip()
        if path and "\n" not in path:
            yield Link(path, False, *match.span(), unquote(heading))


def _without_code(text: str) -> str:
    """Replace code spans by spaces, which keeps offsets. A span ends at the next run of as many
    backticks in the same line."""
    pieces: list[str] = []
    done = 0
    runs = [(match.start(), match.end()) for match in _TICKS.finditer(text)]
    next_end: dict[int, int] = {}  # by length: the end of the next run in the line
    closing: dict[tuple[int, int], int] = {}  # (start, length) of a run -> the end of its span
    for start, end in reversed(runs):
        if text[start] == "\n":
            next_end.clear()
        else:
            closing[start, end - start] = next_end.get(end - start, -1)
            next_end[end - start] = end
    for start, end in runs:
        last = closing.get((start, end - start), -1)
        if start >= done and last > 0:
            pieces += [text[done:start], _blank(text[start:last])]
            done = last
    return "".join([*pieces, text[done:]])


def _without_hidden(text: str) -> str:
    """Replace comments, scripts and styles of HTML by spaces, which keeps offsets."""
    pieces: list[str] = []
    done = 0
    small = text.lower()
    match = _HIDDEN.search(text)
    while match:
        name = match[0].lower()
        end = small.find("-->" if name == "<!--" else f"</{name[1:]}", match.end())
        end = len(text) if end < 0 else end
        pieces += [text[done : match.start()], _blank(text[match.start() : end])]
        done = end
        match = _HIDDEN.search(text, end)
    return "".join([*pieces, text[done:]])


def _blank(text: str) -> str:
    return _NO_MARK.sub(" ", text)
