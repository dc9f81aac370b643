"""Converting roff to text: escapes, special characters and strings (groff_char(7), groff(7))."""

from __future__ import annotations

import re
import unicodedata

MAX_STRING = 200  # characters of a string that a page defines
MAX_EXPANDED = 1 << 20  # characters of all expanded strings of a page
_NAME = r"(?:\((..)|\[([^\]\n]{0,100})\]|([^\n(\[]))"
_DELIMITED = r"(?:'[^'\n]{0,200}'|\"[^\"\n]{0,200}\"|\((?:..)|\[[^\]\n]{0,100}\])"
_ESCAPE = re.compile(
    r"\\(?:"
    rf"(?P<string>\*){_NAME}"
    r"|\((?P<two>..)|\[(?P<long>[^\]\n]{0,100})\]|C'(?P<named>[^'\n]{0,100})'"
    r"|N'(?P<code>\d{1,6})'"
    rf"|[fFgkmMnYV][+-]?{_NAME}"
    rf"|s(?:[+-]?(?:\(\d\d|\[[^\]\n]{{0,20}}\]|'[^'\n]{{0,20}}'|[1-3]\d|\d))"
    rf"|[AbBDhHlLoRSvwxXZ]{_DELIMITED}"
    r"|z|(?P<sign>[\s\S]))"
)
_SIGNS = {
    "e": "\\", "\\": "\\", "-": "-", ".": ".", "'": "´", "`": "`", "_": "_", " ": " ", "~": " ",
    "0": " ", "t": "\t", "\n": "", '"': "",
}  # fmt: skip
_ACCENTS = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", ":": "\u0308", "~": "\u0303", ",": "\u0327",
    "o": "\u030a", "v": "\u030c", "-": "\u0304",
}  # fmt: skip
_CHARACTERS = {
    "aq": "'", "dq": '"', "lq": "“", "rq": "”", "oq": "‘", "cq": "’", "bq": "‚", "Bq": "„",
    "Fo": "«", "Fc": "»", "fo": "‹", "fc": "›", "em": "—", "en": "–", "hy": "-", "mi": "−",
    "pl": "+", "eq": "=", "ul": "_", "ru": "_", "un": "_", "rn": "‾", "bu": "•", "ci": "○",
    "sq": "□", "co": "©", "rg": "®", "tm": "™", "ti": "~", "ha": "^", "ga": "`", "aa": "´",
    "rs": "\\", "sl": "/", "at": "@", "sh": "#", "Do": "$", "lB": "[", "rB": "]", "lC": "{",
    "rC": "}", "la": "⟨", "ra": "⟩", "ba": "|", "bb": "¦", "bv": "|", "or": "|", "br": "|",
    "->": "→", "<-": "←", "ua": "↑", "da": "↓", "<>": "↔", "rA": "⇒", "lA": "⇐", "hA": "⇔",
    ">=": "≥", "<=": "≤", "!=": "≠", "==": "≡", "~~": "≈", "=~": "≅", "ap": "∼", "+-": "±",
    "mu": "×", "tmu": "×", "di": "÷", "tdi": "÷", "**": "∗", "if": "∞", "pd": "∂", "is": "∫",
    "sr": "√", "no": "¬", "mo": "∈", "nm": "∉", "ca": "∩", "cu": "∪", "sb": "⊂", "sp": "⊃",
    "12": "½", "14": "¼", "34": "¾", "de": "°", "sc": "§", "ps": "¶", "dg": "†", "dd": "‡",
    "ct": "¢", "Po": "£", "Ye": "¥", "Eu": "€", "eu": "€", "Cs": "¤", "fm": "′", "sd": "″",
    "S1": "¹", "S2": "²", "S3": "³", "%0": "‰", "r!": "¡", "r?": "¿", "lh": "☜", "rh": "☞",
    "OK": "✓", "AE": "Æ", "ae": "æ", "OE": "Œ", "oe": "œ", "ss": "ß", "-D": "Ð", "Sd": "ð",
    "TP": "Þ", "Tp": "þ", "/O": "Ø", "/o": "ø", "/L": "Ł", "/l": "ł", "IJ": "Ĳ", "ij": "ĳ",
    ".i": "ı", ".j": "ȷ", "ff": "ff", "fi": "fi", "fl": "fl", "Fi": "ffi", "Fl": "ffl",
    "Of": "ª", "Om": "º", "md": "·", "pc": "·", "lz": "◊", "u2019": "’",
    **{f"*{name}": letter for name, letter in zip(
        "abgdezyhiklmncoprstufxqwABGDEZYHIKLMNCOPRSTUFXQW",
        "αβγδεζηθικλμνξοπρστυφχψωΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ", strict=True)},
}  # fmt: skip
_CODE = re.compile(r"u([0-9A-F]{4,6})(?:_([0-9A-F]{4,6}))?|char(\d{1,3})")
_STRINGS = {"R": "®", "Tm": "™", "lq": "“", "rq": "”", "S": "", "Aq": "'", "L'": "", "q": '"'}


class RoffText:
    """Converts lines of roff to text, with the strings that the page defines."""

    def __init__(self) -> None:
        self._strings = dict(_STRINGS)
        self._left = MAX_EXPANDED

    def define(self, name: str, value: str, *, append: bool = False) -> None:
        """Define the string `\\*(name`, or append to it."""
        before = self._strings.get(name, "") if append else ""
        self._strings[name] = (before + self.plain(value))[:MAX_STRING]

    def plain(self, line: str) -> str:
        """A line with its escapes converted.

        >>> RoffText().plain(r"\\fB\\-\\-all\\fR caf\\('e \\(lqtea\\(rq")
        '--all café “tea”'
        """
        return _ESCAPE.sub(self._replacement, line) if "\\" in line else line

    def _replacement(self, match: re.Match[str]) -> str:
        if match["string"]:
            name = (match[2] or match[3] or match[4] or "").strip()
            value = self._strings.get(name, "")
            self._left -= len(value)
            return value if self._left >= 0 else ""
        if name := match["two"] or match["long"] or match["named"]:
            return character(name)
        if match["code"]:
            return _char(int(match["code"]))
        return _SIGNS.get(match["sign"] or "", "")


def character(name: str) -> str:
    """The special character of a name; empty for an unknown one.

    >>> character("'e"), character("em"), character("u00E9"), character("vS")
    ('é', '—', 'é', 'Š')
    """
    if name in _CHARACTERS:
        return _CHARACTERS[name]
    if code := _CODE.fullmatch(name):
        if code[3]:
            return _char(int(code[3]))
        text = _char(int(code[1], 16)) + (_char(int(code[2], 16)) if code[2] else "")
        return unicodedata.normalize("NFC", text)
    if len(name) == 2 and name[0] in _ACCENTS and name[1].isalpha():
        return unicodedata.normalize("NFC", name[1] + _ACCENTS[name[0]])
    return name if len(name) == 1 else ""


def _char(code: int) -> str:
    return chr(code) if 31 < code < 0xD800 or 0xDFFF < code < 0x110000 else ""
