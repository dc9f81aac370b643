"""AsciiDoc: text without comments and macros' names; marks within words are gone."""

from __future__ import annotations

import re
from html import unescape

VERBATIM = re.compile(r"(?:-{4,}|\.{4,}|\+{4,}|/{4,}|`{3,})(?=[\w,]*[ \t]*\r?$)")
_MARKED = re.compile(r"(\*\*|__|``|##)(?=\S)([^\n]{1,200}?)(?<=\S)\1")
_RAISED = re.compile(r"([~^])(\w{1,30}+)\1")
_MACRO = re.compile(
    r"footnote(?:ref)?:(?=[\w-]*\[)"
    r"|\b(?:link|xref|image|kbd|btn|menu|indexterm2?|pass|stem|latexmath|asciimath|anchor|icon"
    r"|include|video|audio|ifn?def|ifeval|endif)::?(?=[^\s:])"
)
_SIGNS = {
    "nbsp": " ",
    "sp": " ",
    "empty": "",
    "zwsp": "",
    "wj": "",
    "amp": "&",
    "lt": "<",
    "gt": ">",
}
_REFERENCE = re.compile(r"\{(nbsp|sp|empty|zwsp|wj|amp|lt|gt)\}")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});")


def readable(text: str) -> str:
    """A chunk without markup; as many lines as it has.

    >>> readable("__Zitter__bewegung, H~2~O\\n// a comment\\nsee footnote:[this]")
    'Zitterbewegung, H2O\\n\\nsee  [this]'
    """
    lines = text.split("\n")
    within = _begins_within(lines)
    made = []
    for line in lines:
        if VERBATIM.match(line):
            mark = line.rstrip()
            if not within:
                within = mark
            elif within[:1] == mark[:1]:
                within = ""
            made.append("" if mark[:1] == "/" else line)
        elif within:
            made.append("" if within[:1] == "/" else line)
        else:
            made.append("" if line.startswith("//") else _plain(line))
    return "\n".join(made)


def _begins_within(lines: list[str]) -> str:
    """The mark of the block of code that a chunk begins in the middle of, if it does."""
    for number, line in enumerate(lines):
        if VERBATIM.match(line):
            after = lines[number + 1] if number + 1 < len(lines) else ""
            closes = number > 0 and lines[number - 1].strip() and not after.strip()
            return line.rstrip() if closes and lines[number - 1][0] not in "[." else ""
    return ""


def _plain(line: str) -> str:
    line = _MACRO.sub(" ", line)
    if "{" in line:
        line = _REFERENCE.sub(lambda m: _SIGNS[m[1]], line)
    if "&" in line:
        line = _ENTITY.sub(lambda m: " ".join(unescape(m[0]).split()), line)
    for pattern in (_MARKED, _RAISED):
        line = pattern.sub(r"\2", line)
    return line
