"""Equations as a line of text: Office's own form (OMML) and MathML.

The formats: ECMA-376, part 1, chapter 22.1; MathML 3. What stands above, below or beside each
other is kept apart by a sign, so that the words of a formula stay words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qrank.ingest.extract.office.package import attribute, child, local

if TYPE_CHECKING:
    from lxml.etree import _Element

# What is put before an element that is not the first within its parent.
_BEFORE = {"den": "/", "sup": "^", "sub": "_", "lim": "_", "e": " ", "mr": "; "}
_AROUND = {"rad": ("√(", ")"), "f": ("", ""), "func": ("", " ")}
_SKIPPED = frozenset(
    "rPr ctrlPr fPr radPr sSupPr sSubPr sSubSupPr sPrePr funcPr mPr eqArrPr accPr barPr boxPr "
    "borderBoxPr groupChrPr limLowPr limUppPr phantPr argPr oMathParaPr del moveFrom".split()
)
_TOKENS = frozenset("mi mn mo ms mtext ci cn csymbol".split())


def omml(root: _Element) -> str:
    """The text of an `m:oMath`, as it would be typed on one line."""
    pieces: list[str] = []
    pending: list[_Element | str] = [root]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            pieces.append(each)
            continue
        name = local(each)
        if name in _SKIPPED or not name:
            continue
        if name == "t":
            pieces.append(each.text or "")
            continue
        if name == "br":
            pieces.append("\n")
            continue
        after: str = ""
        if name == "d":  # brackets, with what is between the things in them
            signs = child(each, "dPr")
            opening, closing = (
                attribute(child(signs, sign), "val", default)
                for sign, default in (("begChr", "("), ("endChr", ")"))
            )
            pieces.append(opening)
            after = closing
        elif name == "nary":
            pieces.append(attribute(child(each, "naryPr", "chr"), "val", "∫"))
        elif name in _AROUND:
            pieces.append(_AROUND[name][0])
            after = _AROUND[name][1]
        if after:
            pending.append(after)
        inner = [part for part in each if local(part) not in ("dPr", "naryPr")]
        if name == "rad" and inner and not any(part.text for part in inner[0].iter("{*}t")):
            del inner[0]  # a square root names no degree
        for number, part in reversed([*enumerate(inner)]):
            pending.append(part)
            before = _BEFORE.get(local(part), "")
            if before and number:
                pending.append(before)
    return "".join(pieces).strip()


def mathml(root: _Element) -> str:
    """The text of a MathML `math`, its signs apart by blanks; not the source that may be
    annotated."""
    pieces: list[str] = []
    pending = [root]
    while pending:
        each = pending.pop()
        name = local(each)
        if name in ("annotation", "annotation-xml"):
            continue
        if name in _TOKENS:
            pieces.append("".join(map(str, each.itertext())))
        else:
            pending += reversed(each)
    return " ".join(" ".join(pieces).split())
