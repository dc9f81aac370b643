"""Equations as one line of text: Office's form (OMML) and MathML.

Formats: ECMA-376, part 1, chapter 22.1; MathML 3. Parts above, below or beside each other are
separated by signs, so that words are not joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qrank.ingest.extract.office.package import attribute, child, local

if TYPE_CHECKING:
    from lxml.etree import _Element

# Text before an element that is not the first of its parent.
_BEFORE = {"den": "/", "sup": "^", "sub": "_", "lim": "_", "e": " ", "mr": "; "}
_AROUND = {"rad": ("√(", ")"), "f": ("", ""), "func": ("", " ")}
_SKIPPED = frozenset(
    "rPr ctrlPr fPr radPr sSupPr sSubPr sSubSupPr sPrePr funcPr mPr eqArrPr accPr barPr boxPr "
    "borderBoxPr groupChrPr limLowPr limUppPr phantPr argPr oMathParaPr del moveFrom".split()
)
_TOKENS = frozenset("mi mn mo ms mtext ci cn csymbol".split())


def omml(root: _Element) -> str:
    """The text of an `m:oMath` element on one line."""
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
        if name == "d":  # brackets
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
            del inner[0]  # a square root has an empty degree
        for number, part in reversed([*enumerate(inner)]):
            pending.append(part)
            before = _BEFORE.get(local(part), "")
            if before and number:
                pending.append(before)
    return "".join(pieces).strip()


def mathml(root: _Element) -> str:
    """The text of a MathML `math` element, with spaces between tokens and without annotations,
    which may repeat it as source."""
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
