"""mdoc, the macros of BSD's manual pages: converting a line with macros to text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_ENCLOSED = {  # to the end of the line
    "Aq": "<>", "Bq": "[]", "Brq": "{}", "Dq": "“”", "Pq": "()", "Qq": '""', "Sq": "‘’",
    "Op": "[]", "Ql": "‘’", "En": "  ",
}  # fmt: skip
_OPENING = {
    "Ao": "<", "Bo": "[", "Bro": "{", "Do": "“", "Po": "(", "Qo": '"', "So": "‘", "Oo": "[",
    "Eo": "",
}  # fmt: skip
_CLOSING = {
    "Ac": ">", "Bc": "]", "Brc": "}", "Dc": "”", "Pc": ")", "Qc": '"', "Sc": "’", "Oc": "]",
    "Ec": "",
}  # fmt: skip
_SYSTEMS = {
    "Bx": "BSD", "Bsx": "BSD/OS", "Nx": "NetBSD", "Fx": "FreeBSD", "Ox": "OpenBSD",
    "Dx": "DragonFly", "Ux": "UNIX", "At": "AT&T UNIX",
}  # fmt: skip
_PLAIN = frozenset(  # whose arguments are printed unchanged
    "Ad An Cd Cm Dv Em Er Ev Fr Ic Li Ms No Pa Sx Sy Tn Va Vt Xo Xc Ft Bt Ud Hf St Ex Rv Mt Lb "
    "Fa Nd Fd Db Sm Bk Ek Es Os Tg".split()
)
_SPECIAL = frozenset("Fl Ar Nm Ns Pf Ap Xr Lk In Fn Fo Fc Ta".split())
MACROS = _PLAIN | _SPECIAL | _ENCLOSED.keys() | _OPENING.keys() | _CLOSING.keys() | _SYSTEMS.keys()
_AFTER = frozenset(".,:;)]?!")  # without a space before them
_BEFORE = frozenset("([")


class Line:
    """Joins the words of a line, with spaces where they belong."""

    def __init__(self, name: str, plain: Callable[[str], str]) -> None:
        """name: of the page's program; plain: converts the escapes of a word."""
        self._name = name
        self._plain = plain
        self._out: list[str] = []
        self._joined = True  # no space before the next word

    def text(self, macro: str, arguments: Sequence[str]) -> str:
        """The text of a macro with its arguments, which may contain other macros."""
        words = [macro, *arguments]
        closing: list[str] = []
        at = 0
        current = ""
        while at < len(words):
            word = words[at]
            at += 1
            if word not in MACROS:
                self._word(word, current)
                continue
            following = words[at] if at < len(words) else ""
            has_argument = bool(following) and following not in MACROS and following not in _AFTER
            current = word
            if word in _ENCLOSED:
                self._put(_ENCLOSED[word][0])
                self._joined = True
                closing.append(_ENCLOSED[word][1])
            elif word in _OPENING:
                self._put(_OPENING[word])
                self._joined = True
            elif word in _CLOSING:
                self._attach(_CLOSING[word])
            elif word in _SYSTEMS:
                self._put(_SYSTEMS[word])
            elif word == "Ns":
                self._joined = True
            elif word == "Ap":
                self._attach("'")
                self._joined = True
            elif word == "Ta":
                self._put("|")
            elif word in ("Pf", "Fo") and following:
                self._put(self._plain(following) + "(" * (word == "Fo"))
                self._joined = True
                at += 1
            elif word == "Fc":
                self._attach(")")
            elif word == "Xr" and has_argument:
                at = self._reference(words, at)
            elif word == "Fn" and has_argument:
                at = self._function(words, at)
            elif word == "In" and has_argument:
                self._put("#include " * (at == 1) + f"<{self._plain(following)}>")
                at += 1
            elif word == "Fl" and not has_argument:
                self._put("-")
                self._joined = bool(following) and following not in _AFTER
            elif word == "Ar" and not has_argument:
                self._put("file ...")
            elif word == "Nm" and not has_argument:
                self._put(self._name)
        for sign in reversed(closing):
            self._attach(sign)
        return "".join(self._out)

    def _word(self, word: str, macro: str) -> None:
        text = self._plain(word)
        if word in _AFTER:
            self._attach(text)
        elif text:
            self._put(f"-{text}" if macro == "Fl" and word != "|" else text)
            self._joined = word in _BEFORE

    def _reference(self, words: Sequence[str], at: int) -> int:
        name, section = words[at], words[at + 1] if at + 1 < len(words) else ""
        if not section or section in MACROS or section in _AFTER:
            self._put(self._plain(name))
            return at + 1
        self._put(f"{self._plain(name)}({self._plain(section)})")
        return at + 2

    def _function(self, words: Sequence[str], at: int) -> int:
        end = at + 1
        while end < len(words) and words[end] not in MACROS and words[end] not in _AFTER:
            end += 1
        arguments = ", ".join(map(self._plain, words[at + 1 : end]))
        self._put(f"{self._plain(words[at])}({arguments})")
        return end

    def _put(self, text: str) -> None:
        self._out.append(text if self._joined else f" {text}")
        self._joined = False

    def _attach(self, text: str) -> None:
        self._out.append(text)
        self._joined = False
