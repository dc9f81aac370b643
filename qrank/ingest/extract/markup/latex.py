"""LaTeX: paragraphs under their sections; text and offsets are those of the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from qrank.ingest.extract.building import MAX_HEADING, one_line
from qrank.ingest.extract.markup.paragraphs import Heading, under_headings
from qrank.markup.latex import VERBATIM, readable
from qrank.results import Block

_LEVELS = {
    name: level
    for level, name in enumerate(
        "part chapter section subsection subsubsection paragraph subparagraph frametitle".split()
    )
}
_SECTIONS = "|".join(sorted(_LEVELS, key=len, reverse=True))
_MARK = re.compile(
    r"%[^\n]*"
    r"|\\(?P<verb>verb|lstinline)\*?(?![A-Za-z*])"
    rf"|\\begin\{{(?P<verbatim>{'|'.join(VERBATIM)})\*?\}}"
    r"|\\begin\{(?P<begin>document|frame|abstract)\}"
    rf"|\\(?P<section>{_SECTIONS})\*?(?![A-Za-z@])"
    r"|\\(?P<field>title|author|date|keywords|subject)(?![A-Za-z@])"
    r"|\\."
)
_OPTION = re.compile(r"\s{0,20}\[[^\[\]]{0,1000}+\]")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_ASIDE = re.compile(r"\\(?:thanks|footnote|footnotemark|label|index|inst|orcidlink|orcidID)\b")
_NEXT_AUTHOR = re.compile(r"\\and\b|\\And\b|\\AND\b|\\quad\b|\\qquad\b")
MAX_ARGUMENT = 5000  # characters of a title or of authors
MAX_UNCLOSED = 100
MAX_AUTHORS = 100


class _Argument(NamedTuple):
    """The text between two braces; end: the offset after the closing one."""

    text: str
    end: int


def extract(text: str, _suffix: str = "") -> tuple[str, list[Block], Mapping[str, object]]:
    """Return (title, blocks, fields); fields: author, date, keywords and subject.

    >>> title, blocks, _ = extract("\\\\title{Tea}\\n\\\\section{Gr\\\\\\"un}\\nSteep.")
    >>> title, [block.heading for block in blocks]
    ('Tea', [(), ('Grün',)])
    """
    argument_of = _Arguments(text)
    headings: list[Heading] = []
    commands: dict[str, list[str]] = {}
    body = 0  # offset of the end of the preamble
    at = 0
    while match := _MARK.search(text, at):
        at = match.end()
        if match["verb"]:
            mark = text[at : at + 1]
            end = text.find("}" if mark == "{" else mark, at + 1, at + 1000) if mark.strip() else -1
            at = end + 1 if end >= 0 else at
        elif match["verbatim"]:
            end = text.find(f"\\end{{{match['verbatim']}", at)
            at = end if end >= 0 else len(text)
        elif match["begin"] == "document" and not body:
            body = match.start()
        elif match["begin"] == "abstract":
            headings.append(Heading(match.start(), _LEVELS["section"], "Abstract"))
        elif (name := match["section"] or match["field"] or match["begin"]) and (
            argument := argument_of(at)
        ):
            if match["field"]:
                commands.setdefault(name, []).append(argument.text)
            else:
                level = _LEVELS.get(name, _LEVELS["frametitle"])
                headings.append(Heading(match.start(), level, _name(argument.text)))
            at = argument.end
    blocks = under_headings(text, headings, body)
    titles = [title for each in commands.pop("title", []) if (title := _name(each))]
    first = next((heading.name for heading in headings if heading.name), "")
    return titles[0] if titles else first, blocks, _fields(commands)


class _Arguments:
    """Finds the arguments of commands. After many that are not closed, only short ones, so that
    the time stays linear."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._unclosed = 0

    def __call__(self, at: int) -> _Argument | None:
        longest = MAX_ARGUMENT if self._unclosed < MAX_UNCLOSED else 200
        argument = _argument(self._text, at, longest)
        self._unclosed += argument is None
        return argument


def _argument(text: str, at: int, longest: int = MAX_ARGUMENT) -> _Argument | None:
    """The argument of a command that ends at an offset, after its optional arguments; None when
    there is none."""
    while option := _OPTION.match(text, at):
        at = option.end()
    start = at + len(text[at : at + 20]) - len(text[at : at + 20].lstrip())
    if text[start : start + 1] != "{":
        return None
    depth = 0
    for brace in _BRACE.finditer(text, start, start + longest):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if not depth:
            return _Argument(text[start + 1 : brace.start()], brace.end())
    return None


def _name(argument: str) -> str:
    """A title on one line, without footnotes and labels."""
    return one_line(readable(_without_asides(argument)))[:MAX_HEADING]


def _without_asides(argument: str) -> str:
    parts, at = [], 0
    for match in _ASIDE.finditer(argument):
        if match.start() >= at:
            parts.append(argument[at : match.start()])
            aside = _argument(argument, match.end())
            at = aside.end if aside else match.end()
    return "".join([*parts, argument[at:]])


def _fields(commands: Mapping[str, list[str]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, arguments in commands.items():
        values = arguments[-1:]
        if name == "author":  # the name is the first line of each, the address is below
            values = [
                author.partition("\\\\")[0]
                for argument in arguments
                for author in _NEXT_AUTHOR.split(_without_asides(argument))
            ]
        names = [text for value in values[:MAX_AUTHORS] if (text := _name(value).strip(" ,"))]
        if names:
            fields[name] = names if len(names) > 1 else names[0]
    return fields
