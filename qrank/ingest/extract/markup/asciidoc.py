"""AsciiDoc: paragraphs under their sections; text and offsets are those of the file."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qrank.ingest.extract.building import MAX_HEADING, one_line, properties
from qrank.ingest.extract.markup.paragraphs import Heading, under_headings
from qrank.markup.asciidoc import VERBATIM, readable
from qrank.results import Block

_TITLE = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.*)")
_UNDERLINE = re.compile(r"(?:={4,}|-{4,}|~{4,}|\^{4,}|\+{4,})[ \t\r]*")
_LEVELS = "=-~^+"
_ATTRIBUTE = re.compile(r":([\w-]{1,60}):[ \t]+(.*)")
_AUTHOR = re.compile(
    r"([^\W\d_][\w.'’-]*(?:[ _][^\W\d_][\w.'’-]*){0,4})(?:[ \t]+<[^<>\s]+>)?[ \t]*"
)


def extract(text: str, _suffix: str = "") -> tuple[str, list[Block], Mapping[str, object]]:
    """Return (title, blocks, fields); fields: author, date, keywords and subject (the description).

    >>> title, blocks, fields = extract("= Tea\\nAda L.\\n\\n== Green\\n\\n----\\n== no\\n----\\n")
    >>> title, blocks[-1].heading, fields
    ('Tea', ('Tea', 'Green'), {'author': 'Ada L.'})
    """
    headings: list[Heading] = []
    attributes: dict[str, str] = {}
    authors: list[str] = []
    title = within = ""
    lines = text.split("\n")
    at = 0
    for number, line in enumerate(lines):
        start, at = at, at + len(line) + 1
        under = lines[number + 1] if number + 1 < len(lines) else ""
        if within:
            within = "" if line.rstrip() == within else within
        elif match := _TITLE.match(line):
            name = match[2].strip()
            if name.endswith(f" {match[1]}"):
                name = name[: -len(match[1])]
            headings.append(Heading(start, len(match[1]), _name(name)))
            if len(match[1]) == 1 and not title:
                title = headings[-1].name
                authors = _authors(under)
        elif _is_underlined(line, under) and not (number and lines[number - 1].strip(" \t\r]")):
            headings.append(Heading(start, 1 + _LEVELS.index(under[0]), _name(line)))
        elif VERBATIM.match(line) and not (headings and _is_underlined(lines[number - 1], line)):
            within = line.rstrip()
            within = within[:3] if within[0] == "`" else within
        elif attribute := _ATTRIBUTE.match(line):
            attributes.setdefault(attribute[1].lower(), attribute[2])
    fields = properties(
        authors or attributes.get("author", ""),
        attributes.get("description", ""),
        attributes.get("keywords", ""),
    )
    if date := one_line(attributes.get("revdate", attributes.get("date", ""))):
        fields["date"] = date
    first = next((heading.name for heading in headings if heading.name), "")
    return (
        title or _name(attributes.get("doctitle", "")) or first,
        under_headings(text, headings),
        fields,
    )


def _is_underlined(line: str, under: str) -> bool:
    """Whether a line is a title, by the underline below it, which has about its length."""
    return bool(
        _UNDERLINE.fullmatch(under)
        and line[:1].strip(" \t\r.[/|")
        and not _UNDERLINE.fullmatch(line)
        and abs(len(line.rstrip()) - len(under.rstrip())) <= 2
    )


def _name(title: str) -> str:
    return one_line(readable(title))[:MAX_HEADING]


def _authors(line: str) -> list[str]:
    """The authors in the line below the title, such as "Ada L. <a@b.c>; Bob M."."""
    matches = [_AUTHOR.fullmatch(part.strip()) for part in line.strip().split(";")[:100]]
    return [each[1].replace("_", " ") for each in matches if each] if all(matches) else []
