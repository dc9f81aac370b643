"""LaTeX: text without commands, with the letters and signs that they stand for."""

from __future__ import annotations

import re
import unicodedata

from qrank.markup.latex_names import (
    ACCENTS,
    DROPPED,
    FORMATTING,
    GREEK,
    LETTER_ACCENTS,
    NAMED_ENVIRONMENTS,
    OPERATORS,
    SIGNS,
    SKIPS,
    SYMBOLS,
    WITH_ARGUMENT,
)

_TOKEN = re.compile(
    r"%[^\n]*"  # a comment
    r"|\\([A-Za-z@]+)\*?([ \t]*)"  # a command, and the blanks that end its name
    r"|\\\\\*?(?:\[[^\]\n]{0,20}\])?"  # the end of a line
    r"|\\[^A-Za-z@]"
    r"|[{}~&]|\$\$?|#[1-9]|``|''|\"[aouAOUs=|\"-]"
)
VERBATIM = (
    "verbatim",
    *("Verbatim", "BVerbatim", "lstlisting", "minted", "filecontents", "comment", "alltt"),
)
_ENDS = re.compile(rf"\\(begin|end)\{{({'|'.join(VERBATIM)})\*?\}}")
_OPTIONS = re.compile(r"\[((?:[^\[\]{}\n]|\{[^{}\n]{0,200}\}){0,500}+)\]")
_ARGUMENT = re.compile(r"[ \t]*\{([^{}]{0,2000}+)\}")
_ENVIRONMENT = re.compile(r"[ \t]*\{([A-Za-z@]{1,40})(\*?)\}")
_ACCENTED = re.compile(
    r"[ \t]*(?:\{[ \t]*(\\[ij]|[^\W\d_])?([^{}\\]{0,20})\}|\\([ij])(?![A-Za-z@])[ \t]*|([^\W\d_]))"
)
_LENGTH = re.compile(
    r"[ \t]*=?[ \t]*-?[\d.]+[ \t]*(?:pt|em|ex|cm|mm|in|bp|sp|fil+)?"
    r"(?:[ \t]*(?:plus|minus)[ \t]*-?[\d.]+[ \t]*[a-z]{2,5})*"
)
_ONE = re.compile(r"\\.|[ \t]+")
_JOINED = "\0"  # a line end within a word
_JOINED_WORD = re.compile(rf"{_JOINED}\S*")
MAX_VERB = 1000  # characters
_WITHOUT_BLANK = {"-": "", "/": "", "@": "", "!": "", "(": "", ")": ""}


def readable(text: str) -> str:
    """A chunk without commands and comments; as many lines as it has.

    >>> readable(r"Schr\\"odinger, \\emph{Zitter}bewegung, re\\-con\\-struc\\-tion, caf\\'{e} % no")
    'Schrödinger, Zitterbewegung, reconstruction, café '
    """
    return _Scan(text.replace(_JOINED, " ")).run()


class _Scan:
    """Goes over a text once, from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._out: list[str] = []
        self._at = 0  # what is before it is done
        self._groups: list[bool] = []  # open braces: whether what they hold is apart
        self._apart = -1  # where a brace would open that holds what is apart
        self._no_fi = False  # there is no \fi behind here

    def run(self) -> str:
        first = _ENDS.search(self._text)
        if first and first[1] == "end":  # the chunk begins within a listing
            self._raw(first.start(), hidden=first[2] == "comment")
        while match := _TOKEN.search(self._text, self._at):
            self._out.append(self._text[self._at : match.start()])
            self._at = match.end()
            self._token(match)
        self._out.append(self._text[self._at :])
        made = "".join(self._out)
        return _JOINED_WORD.sub(_line_end_after, made) if _JOINED in made else made

    def _token(self, match: re.Match[str]) -> None:
        token = match[0]
        if match[1]:
            self._command(match[1], match.start(), bool(match[2]))
        elif token[0] == "%":
            self._comment(match.start())
        elif token[0] == "\\":
            self._sign(token)
        elif token == "{":
            if self._text[match.start() - 1 : match.start()] == "}":
                self._out.append(" ")
            self._groups.append(self._apart == match.start())
        elif token == "}":
            if self._groups and self._groups.pop():
                self._out.append(" ")
        elif token[0] == '"':
            self._shorthand(token, match.start())
        elif token in ("``", "''"):
            self._out.append("“" if token == "``" else "”")
        elif token in ("~", "&", "$$"):
            self._out.append(" ")

    def _comment(self, start: int) -> None:
        """A comment goes, with the line end behind it when it breaks a word."""
        text, at = self._text, self._at
        if at < len(text) and start and not text[start - 1].isspace():
            indented = _ONE.match(text, at + 1)
            after = indented.end() if indented and text[at + 1] != "\\" else at + 1
            if text[after : after + 1] not in ("", "\n", "\r", "%"):
                self._out.append(_JOINED)
                self._at = after

    def _sign(self, token: str) -> None:
        """A command whose name is no letters."""
        sign = token[1]
        if sign in ACCENTS:
            if not self._accent(ACCENTS[sign]) and sign in "~^" and self._at < len(self._text):
                self._out.append(sign)
        elif sign in "&%$#_{}":
            self._out.append(sign)
        elif sign == "\n":
            self._out.append("\n")
        else:
            self._out.append(_WITHOUT_BLANK.get(sign, " "))

    def _accent(self, mark: str) -> bool:
        """Put an accent on the letter that follows; False when none does."""
        match = _ACCENTED.match(self._text, self._at)
        if not match:
            return False
        letter = (match[1] or match[3] or match[4] or "").lstrip("\\")
        if not letter and match[2]:
            return True  # not a letter's
        self._at = match.end()
        if not letter:
            return False
        self._out.append(unicodedata.normalize("NFC", letter + mark) + (match[2] or ""))
        return True

    def _shorthand(self, token: str, start: int) -> None:
        """German: Universit"at, Stra"se; else a quotation mark."""
        before = self._text[start - 1 : start]
        sign = token[1]
        if not before.isalpha():
            self._out.append('"')
            self._at = start + 1
        elif sign in '-|"':
            if not self._text[self._at : self._at + 1].isalpha():
                self._out.append('"')
                self._at = start + 1
        elif sign in "=s":
            self._out.append("-" if sign == "=" else "ß")
        else:
            self._out.append(unicodedata.normalize("NFC", sign + "\u0308"))

    def _command(self, name: str, start: int, blank: bool) -> None:
        text = self._text
        following = text[self._at : self._at + 1]
        if name in SYMBOLS:
            self._out.append(SYMBOLS[name] + " " * (blank and len(SYMBOLS[name]) > 2))
        elif name in SIGNS:
            self._out.append(SIGNS[name] + " " * blank)
        elif name in GREEK or name in OPERATORS:
            self._word(name, start, blank)
        elif name in LETTER_ACCENTS and (blank or following in "{\\"):
            if not self._accent(LETTER_ACCENTS[name]):
                self._out.append(" ")
        elif name in ("begin", "end"):
            self._environment(name)
        elif name in ("verb", "lstinline"):
            self._verb(following)
        elif name in ("url", "path", "nolinkurl", "href"):
            self._address()
        elif name == "iffalse":
            self._skip_to_fi()
        elif name in FORMATTING:
            self._drop(FORMATTING[name])
        elif name in SKIPS:
            length = _LENGTH.match(text, self._at)
            self._at = length.end() if length else self._at
            self._out.append("" if name == "kern" else " ")
        else:
            self._other(name, start, blank)

    def _word(self, name: str, start: int, blank: bool) -> None:
        """A letter's or a function's name; as the letter where that is part of a word: $\\mu$m."""
        text, end = self._text, self._at
        if (
            name in GREEK
            and text[start - 1 : start] == "$" == text[end : end + 1]
            and text[end + 1 : end + 2].isalpha()
        ):
            self._out.append(GREEK[name])
            return
        before = text[start - 1 : start]
        self._out.append(" " * (before.isalnum() or before == "}") + name)
        if blank or text[end : end + 1].isalnum() or text[end : end + 1] in ("\\", "{"):
            self._out.append(" ")

    def _other(self, name: str, start: int, blank: bool) -> None:
        """A command that is not known, or whose arguments stand apart from the text around."""
        before = self._text[start - 1 : start]
        if name == "item":
            self._out.append("- ")
        elif blank or before.isalnum() or before in tuple(".,;)]}") or self._joins():
            self._out.append(" ")
        end = self._options(keep=name not in DROPPED)
        if DROPPED.get(name):
            self._drop(DROPPED[name])
            end = self._at
        if name in WITH_ARGUMENT:
            self._apart = end

    def _joins(self) -> bool:
        """Whether a comment has just taken a line end away."""
        return "".join(self._out[-2:]).endswith(_JOINED)

    def _options(self, *, keep: bool) -> int:
        """Pass over what is in brackets, unless it is text; returns where it ends."""
        match = _OPTIONS.match(self._text, self._at)
        if not match:
            return self._at
        if not keep or "=" in match[1]:
            self._at = match.end()
        return match.end()

    def _drop(self, count: int) -> None:
        """Pass over the arguments that are no text."""
        for _ in range(count):
            if match := _ARGUMENT.match(self._text, self._at):
                self._keep_lines(self._at, match.end())

    def _keep_lines(self, start: int, end: int) -> None:
        """What is there goes, but for its line ends."""
        self._out.append("\n" * self._text.count("\n", start, end))
        self._at = end

    def _environment(self, what: str) -> None:
        match = _ENVIRONMENT.match(self._text, self._at)
        self._out.append(" ")
        if not match:
            return
        self._at, name = match.end(), match[1]
        if what == "end":
            return
        if name in NAMED_ENVIRONMENTS:
            self._out.append(f"{name} ")
        place = _OPTIONS.match(self._text, self._at)
        if place and (name not in NAMED_ENVIRONMENTS or "=" in place[1]):
            self._at = place.end()
        if name in VERBATIM:
            end = self._text.find(f"\\end{{{name}", self._at)
            self._raw(end if end >= 0 else len(self._text), hidden=name == "comment")
        else:
            self._drop(DROPPED.get(name, 0))

    def _raw(self, end: int, *, hidden: bool = False) -> None:
        """What is there is no LaTeX."""
        if hidden:
            self._keep_lines(self._at, end)
        else:
            self._out.append(self._text[self._at : end])
            self._at = end

    def _verb(self, mark: str) -> None:
        self._options(keep=False)
        mark = self._text[self._at : self._at + 1]
        mark = "}" if mark == "{" else mark
        end = self._text.find(mark, self._at + 1, self._at + MAX_VERB) if mark.strip() else -1
        if end >= 0:
            self._at += 1
            self._raw(end)
            self._at += 1

    def _address(self) -> None:
        if match := _ARGUMENT.match(self._text, self._at):
            self._out.append(f" {match[1]} ")
            self._at = match.end()

    def _skip_to_fi(self) -> None:
        end = -1 if self._no_fi else self._text.find("\\fi", self._at)
        if end < 0:
            self._no_fi = True
        else:
            self._keep_lines(self._at, end)


def _line_end_after(word: re.Match[str]) -> str:
    return word[0].replace(_JOINED, "") + "\n" * word[0].count(_JOINED)
