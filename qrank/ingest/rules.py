"""Patterns of ignore files as regular expressions that don't take exponential time.

pathspec turns a pattern with several `*` in a name, or several `**`, into an expression that `re`
tries in every possible way: six stars in a repository's .gitignore take hours for one long name.
But wherever a piece is found first is as good as anywhere later: it is put into an atomic group,
which is not tried again.
"""

from __future__ import annotations

import re

# What pathspec makes of a pattern (patterns/gitignore/spec.py), piece by piece.
_PIECE = re.compile(
    r"(?P<anywhere>\^\(\?:\.\+/\)\?)"  # **/ at the beginning
    r"|(?P<between>\(\?:/\.\+\)\?)"  # /** between two names
    r"|(?P<end>\(\?:\(\?P<ps_d>/\)\|\$\)\Z|\(\?P<ps_d>/\)\Z)"
    r"|(?P<star>\[\^/\]\*)"
    r"|(?P<slash>/)"
    r"|(?P<char>\[\^/\]\+?|\\.|[^\\()\[\]?*+.|^$])"
    r"|(?P<set>\[\^?\]?[^\]]*\])",
    re.DOTALL,
)
_FEW = 2  # stars, in all, that may be tried in every way


def bounded(expression: str) -> str:
    """The expression that matches the same paths without trying a star again; as it is when it has
    few stars, or is not of pieces that pathspec makes.

    >>> bounded("^(?:.+/)?[^/]*a[^/]*b[^/]*c(?:(?P<ps_d>/)|$)")
    '^(?:.+/)?(?>[^/]*?a)(?>[^/]*?b)[^/]*c(?:(?P<ps_d>/)|$)'
    >>> bounded("^a(?:/.+)?/b(?:/.+)?/c(?:/.+)?/d(?P<ps_d>/)")
    '^a(?>(?:/.+?)??/b(?=/))(?>(?:/.+?)??/c(?=/))(?:/.+)?/d(?P<ps_d>/)'
    """
    if expression.count("[^/]*") + expression.count(".+") <= _FEW:
        return expression
    at = 0 if expression.startswith("^(") else 1
    made: list[str] = []  # what is done
    section = ""  # names since the last `**`
    opened = "" if at == 0 else "^"  # that `**`, or the beginning
    name: list[str] = [""]  # what is between the stars of a name
    while at < len(expression):
        found = _PIECE.match(expression, at)
        if not found:
            return expression
        at = found.end()
        kind, piece = str(found.lastgroup), found[0]
        if kind == "ps_d":
            kind = "end"
        if kind == "star":
            name.append("")
        elif kind in ("char", "set"):
            name[-1] += piece if kind == "char" else f"(?!/){piece}"
        else:
            section += _name(name)
            name = [""]
            if kind == "slash" or kind == "end":
                section += piece
            else:
                made.append(_section(opened, section))
                opened, section = piece, ""
    return "".join(made) + opened + section + _name(name)


def _name(pieces: list[str]) -> str:
    first, *others = pieces
    if not others:
        return first
    return first + "".join(f"(?>[^/]*?{piece})" for piece in others[:-1]) + "[^/]*" + others[-1]


def _section(opened: str, section: str) -> str:
    """Names that stand before a `**`, after another one or at the beginning."""
    lazy = {"^(?:.+/)?": "^(?>(?:.+?/)??", "(?:/.+)?": "(?>(?:/.+?)??"}.get(opened)
    return f"{lazy}{section}(?=/))" if lazy else opened + section
