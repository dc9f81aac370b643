"""Charts (texts and values) and SmartArt (texts) as paragraphs.

Formats: ECMA-376, part 1, chapters 21.2 (charts) and 21.4 (diagrams); [MS-ODRAWXML] for charts of
Office 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qrank.ingest.extract.building import one_line
from qrank.ingest.extract.office.package import attribute, child, local

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_POINTS = 10_000  # of one chart
MAX_SERIES = 100


def chart(root: _Element) -> Iterator[str]:
    """Yield the titles and labels of a chart, then its series as a table."""
    yield "\n".join(_texts(root))
    series = list(root.iter("{*}ser"))[:MAX_SERIES]
    names = [_joined(child(each, "tx")) for each in series]
    rows: dict[int, list[str]] = {}  # by point: its category, then a value for each series
    left = MAX_POINTS
    for number, each in enumerate(series):
        for kind, column in (("cat", 0), ("xVal", 0), ("val", number + 1), ("yVal", number + 1)):
            points = child(each, kind)
            for point in () if points is None else points.iter("{*}pt"):
                index = _number(point)
                if index is None or left <= 0:
                    continue
                left -= 1
                row = rows.setdefault(index, [""] * (len(series) + 1))
                value = _value(point)
                if column:
                    row[column] = value
                elif number == 0:  # a category may have several levels
                    row[0] = f"{row[0]} {value}".strip()
                else:
                    row[0] = row[0] or value
    lines = [["", *names]] if any(names) else []
    lines += [rows[index] for index in sorted(rows)]
    yield "\n".join(" | ".join(line).strip(" |") for line in lines)


def _texts(root: _Element) -> Iterator[str]:
    """Yield the texts of titles, labels and drawings; of newer charts also the categories."""
    for element in root.iter("{*}p", "{*}title", "{*}txData", "{*}strDim"):
        name = local(element)
        if name == "p":
            text = "".join(part.text or "" for part in element.iter("{*}t"))
        elif name == "title":
            text = " ".join(part.text or "" for part in element.iter("{*}v"))
        elif name == "txData":
            text = " ".join(part.text or "" for part in element.iterchildren("{*}v"))
        else:
            text = " | ".join(part.text or "" for part in element.iter("{*}pt"))
        if text.strip():
            yield one_line(text)


def _joined(element: _Element | None) -> str:
    parts = () if element is None else element.iter("{*}v")
    return one_line(" ".join(part.text or "" for part in parts))


def _number(point: _Element) -> int | None:
    value = attribute(point, "idx")
    return int(value) if value.isdecimal() and len(value) < 8 else None


def _value(point: _Element) -> str:
    value = one_line(point.findtext("{*}v") or "")
    try:
        return f"{float(value):.10g}" if value and value[-1].isdecimal() else value
    except ValueError:
        return value


def smart_art(root: _Element) -> str:
    """The texts of a diagram's points, or of its shapes, one per line."""
    lines = []
    for paragraph in root.iter("{*}p"):
        text = "".join(
            "\n" if local(part) == "br" else part.text or ""
            for part in paragraph.iter("{*}t", "{*}br")
        )
        if text.strip() and local(paragraph) == "p":
            lines.append(text)
    return "\n".join(lines)
