"""The numbers of a Word document's lists and headings, which are not in its text.

Format: ECMA-376, part 1, 17.9 (numbering).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qrank.ingest.extract.office.package import attribute, basis, child, local

if TYPE_CHECKING:
    from lxml.etree import _Element

LEVELS = 9
MAX_NUMBER = 9999  # written in letters or Roman numerals
MAX_TEXT = 60  # characters around the numbers
_PLACE = re.compile(r"%([1-9])")
_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l")),
    *((40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)


@dataclass(slots=True)
class _Level:
    """The numbering of a level of a list."""

    format: str = "decimal"
    text: str = ""
    start: int = 1
    restart: int = -1  # the level after which it restarts, from 1; 0: never; -1: any above it
    style: str = ""  # the paragraph style linked to the level
    legal: bool = False  # all numbers are decimal


@dataclass(slots=True)
class _List:
    """A list: its levels, and the id of the abstract list whose counts it shares."""

    counts_with: str
    levels: dict[int, _Level] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)  # start numbers of levels that restart


class Numbering:
    """Numbers the paragraphs of lists, which must be passed in the order of the document."""

    def __init__(self, numbering: _Element | None, styles: _Element | None) -> None:
        self._lists = _lists(numbering)
        self._styles = _of_styles(styles, self._lists)
        self._counts: dict[str, dict[int, int]] = {}
        self._restarted: set[tuple[str, int]] = set()  # (list, level)

    def number(self, paragraph: _Element) -> str:
        """The number of a paragraph as shown; empty for one without a number."""
        if not self._lists:
            return ""
        properties = child(paragraph, "pPr")
        style = attribute(child(properties, "pStyle"), "val")
        name, level = self._styles.get(style, ("", 0))
        own = child(properties, "numPr")
        if own is not None:
            name = attribute(child(own, "numId"), "val", name)
            level = _integer(attribute(child(own, "ilvl"), "val"), level)
        own_list = self._lists.get(name)
        if own_list is None or level not in own_list.levels or _is_deleted(properties):
            return ""
        counts = self._counts.setdefault(own_list.counts_with, {})
        self._count(counts, own_list, name, level)
        own_level = own_list.levels[level]
        if own_level.format in ("bullet", "none"):
            return ""

        def number_of(match: re.Match[str]) -> str:
            at = int(match[1]) - 1
            each = own_list.levels.get(at, own_level)
            format = "decimal" if own_level.legal else each.format
            return formatted(counts.get(at, each.start), format)

        return _PLACE.sub(number_of, own_level.text).strip()

    def _count(self, counts: dict[int, int], own_list: _List, name: str, level: int) -> None:
        if level in own_list.starts and (name, level) not in self._restarted:
            self._restarted.add((name, level))
            counts[level] = own_list.starts[level]
        elif level in counts:
            counts[level] += 1
        else:
            counts[level] = own_list.levels[level].start
        for above in range(level):
            if above in own_list.levels:
                counts.setdefault(above, own_list.levels[above].start)
        for below, each in own_list.levels.items():
            if below > level and (each.restart < 0 or level < each.restart):
                counts.pop(below, None)


def formatted(number: int, format: str) -> str:
    """A number in a number format (ST_NumberFormat); unknown ones are decimal.

    >>> formats = ("lowerLetter", "upperRoman", "decimalZero", "ordinal")
    >>> [formatted(28, format) for format in formats]
    ['bb', 'XXVIII', '28', '28th']
    """
    if format == "decimalZero":
        return f"{number:02}"
    if format == "ordinal":
        end = "th" if 10 < number % 100 < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
        return f"{number}{end}"
    if format in ("none", "bullet"):
        return ""
    text = str(number)
    if 0 < number <= MAX_NUMBER:
        if format.endswith("Letter"):
            text = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        elif format.endswith("Roman"):
            text = ""
            for value, letters in _ROMAN:
                text += letters * (number // value)
                number %= value
    return text.upper() if format.startswith("upper") else text


def _lists(numbering: _Element | None) -> dict[str, _List]:
    """The lists by id."""
    abstract: dict[str, dict[int, _Level]] = {}
    by_style: dict[str, str] = {}  # list style -> the id of its abstract list
    links: dict[str, str] = {}  # id of an abstract list -> the list style that it refers to
    for each in () if numbering is None else numbering:
        if local(each) != "abstractNum":
            continue
        identity = attribute(each, "abstractNumId")
        abstract[identity] = _levels(each)
        by_style[attribute(child(each, "styleLink"), "val")] = identity
        links[identity] = attribute(child(each, "numStyleLink"), "val")
    result: dict[str, _List] = {}
    for each in () if numbering is None else numbering:
        if local(each) != "num":
            continue
        identity = attribute(child(each, "abstractNumId"), "val")
        if links.get(identity):
            identity = by_style.get(links[identity], identity)
        own_list = _List(identity, dict(abstract.get(identity, {})))
        for override in each:
            if local(override) == "lvlOverride":
                level = _integer(attribute(override, "ilvl"), 0)
                own_list.levels |= _levels(override)
                start = child(override, "startOverride")
                if start is not None:
                    own_list.starts[level] = _integer(attribute(start, "val"), 1)
        result[attribute(each, "numId")] = own_list
    return result


def _levels(element: _Element) -> dict[int, _Level]:
    result = {}
    for each in element:
        if local(each) == "lvl":
            legal = child(each, "isLgl")
            result[_integer(attribute(each, "ilvl"), 0)] = _Level(
                attribute(child(each, "numFmt"), "val", "decimal"),
                attribute(child(each, "lvlText"), "val")[:MAX_TEXT],
                _integer(attribute(child(each, "start"), "val"), 0),
                _integer(attribute(child(each, "lvlRestart"), "val"), -1),
                attribute(child(each, "pStyle"), "val"),
                legal is not None and attribute(legal, "val", "1") not in ("0", "false", "off"),
            )
    return {number: level for number, level in result.items() if number < LEVELS}


def _of_styles(styles: _Element | None, lists: dict[str, _List]) -> dict[str, tuple[str, int]]:
    """(list, level) by style, for styles whose paragraphs are in a list, also by the styles that
    they are based on."""
    own: dict[str, tuple[str, int]] = {}
    based: dict[str, str] = {}
    for style in () if styles is None or not lists else styles:
        identity = attribute(style, "styleId")
        based[identity] = attribute(child(style, "basedOn"), "val")
        numbered = child(style, "pPr", "numPr")
        if numbered is not None:
            own[identity] = (
                attribute(child(numbered, "numId"), "val"),
                _integer(attribute(child(numbered, "ilvl"), "val"), -1),
            )
    result = {}
    for identity in based:
        each = basis(identity, own, based, LEVELS)
        if each in own:
            name, level = own[each]
            if not name and based.get(each) in own:  # another level of its base style's list
                name = own[based[each]][0]
            if level < 0:  # the level may be linked to the style instead
                levels = lists[name].levels if name in lists else {}
                level = next((at for at, own in levels.items() if own.style == identity), 0)
            result[identity] = (name, level)
    return result


def _is_deleted(properties: _Element | None) -> bool:
    """Whether the paragraph mark is deleted, so that the number is not shown."""
    marks = child(properties, "rPr")
    return any(local(each) in ("del", "moveFrom") for each in (() if marks is None else marks))


def _integer(text: str, default: int) -> int:
    return int(text[:6]) if text.isdecimal() else default
