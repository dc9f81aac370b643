"""Org: text without keywords and drawers' names, links and entities as what they show."""

from __future__ import annotations

import re
from html.entities import name2codepoint

_KEYWORD = re.compile(
    r"^[ \t]*(?:#\+(?:(?:begin|end)_\w+|\w+(?:\[[^\]\n]*\])?:)"
    r"|:(?:PROPERTIES|END|LOGBOOK|CLOCK):[ \t]*$|\*+(?=[ \t]))",
    re.IGNORECASE | re.MULTILINE,
)
_LINK = re.compile(r"\[\[([^\[\]\n]{1,2000}+)\](?:\[([^\[\]\n]{1,2000}+)\])?\](\w{0,50})")
_FOOTNOTE = re.compile(r"\[fn:([\w-]{0,50})(:?)")
_ENTITY = re.compile(r"\\([A-Za-z]{2,8})(?:\{\}|(?![A-Za-z]))")


def readable(text: str) -> str:
    """A chunk without markup; as many lines as it has.

    >>> readable("** Sch\\\\ouml{}n\\n#+TITLE: Tea\\nSee [[http://a.b][the page]][fn:1]")
    ' Schön\\n Tea\\nSee the page <http://a.b> [1]'
    """
    text = _KEYWORD.sub("", text)
    if "[" in text:
        text = _LINK.sub(lambda m: f"{m[2]}{m[3]} <{m[1]}>" if m[2] else m[1] + m[3], text)
        text = _FOOTNOTE.sub(lambda m: " [" if m[2] else f" [{m[1]}", text)
    return _ENTITY.sub(_letter, text) if "\\" in text else text


def _letter(match: re.Match[str]) -> str:
    """An accented letter's name as the letter; other names are words as they are."""
    code = name2codepoint.get(match[1], 0)
    return chr(code) if 0xC0 <= code < 0x250 else match[0]
