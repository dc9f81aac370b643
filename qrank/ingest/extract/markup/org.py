"""Org: paragraphs under their headlines; text and offsets are those of the file."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qrank.ingest.extract.building import MAX_HEADING, one_line, properties
from qrank.ingest.extract.markup.paragraphs import Heading, under_headings
from qrank.markup.org import readable
from qrank.results import Block

_HEADLINE = re.compile(r"^(\*+)[ \t]+(\S.*)$", re.MULTILINE)
_TAGS = re.compile(r"(?:^|[ \t]+):([\w@#%:]+):[ \t\r]*$")
_PRIORITY = re.compile(r"\[#\w\][ \t]*")
_KEYWORD = re.compile(r"^[ \t]*#\+(\w+):[ \t]*(.*)$", re.MULTILINE)
_PROPERTY = re.compile(r"^[ \t]*:([\w-]{1,50}):[ \t]+(.*)$", re.MULTILINE)
_KEYWORDS = frozenset(
    "title author date description keywords filetags todo seq_todo typ_todo".split()
)
MAX_TAGS = 1000
MAX_PROPERTIES = 50


def extract(text: str, _suffix: str = "") -> tuple[str, list[Block], Mapping[str, object]]:
    """Return (title, blocks, fields); fields: author, date, keywords, subject (the description),
    tags of the file and its headlines, and the properties above the first headline.

    >>> title, blocks, fields = extract("#+TITLE: Tea\\n* TODO Steep :green:\\nNow.\\n")
    >>> title, blocks[-1].heading, fields
    ('Tea', ('Steep',), {'tags': ['green']})
    """
    keywords: dict[str, list[str]] = {}
    for match in _KEYWORD.finditer(text):
        if (key := match[1].lower()) in _KEYWORDS:
            keywords.setdefault(key, []).append(match[2].strip())
    states = {"TODO", "DONE"}
    for key in ("todo", "seq_todo", "typ_todo"):
        states.update(
            word.partition("(")[0] for line in keywords.get(key, []) for word in line.split()
        )
    tags = [
        tag for line in keywords.get("filetags", []) for tag in re.split(r"[:\s]+", line) if tag
    ]
    headings = []
    for match in _HEADLINE.finditer(text):
        name = match[2]
        if own := _TAGS.search(name):
            tags += own[1].split(":")
            name = name[: own.start()]
        first, _, rest = name.partition(" ")
        name = _PRIORITY.sub("", rest if first in states else name, count=1)
        plain_name = one_line(readable(name))[:MAX_HEADING]
        headings.append(Heading(match.start(), len(match[1]), plain_name))
    fields = _properties(text[: headings[0].start] if headings else text)
    fields |= properties(
        keywords.get("author", []),
        " ".join(keywords.get("description", [])),
        ",".join(keywords.get("keywords", [])),
    )
    if date := "".join(keywords.get("date", [])[:1]):
        fields["date"] = one_line(date)
    if tags:
        fields["tags"] = [*dict.fromkeys(filter(None, tags))][:MAX_TAGS]
    title = one_line(readable(" ".join(keywords.get("title", []))))[:MAX_HEADING]
    first_name = next((heading.name for heading in headings if heading.name), "")
    return title or first_name, under_headings(text, headings), fields


def _properties(text: str) -> dict[str, object]:
    """The properties in the drawer of a text, which is above the first headline."""
    start = text.find(":PROPERTIES:")
    end = text.find(":END:", start) if start >= 0 else -1
    if end < 0:
        return {}
    matches = [*_PROPERTY.finditer(text, start + 12, end)][:MAX_PROPERTIES]
    return {each[1].lower(): one_line(each[2])[:MAX_HEADING] for each in matches if each[2].strip()}
