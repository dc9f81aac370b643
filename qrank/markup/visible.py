"""Text without what nobody reads in it: control sequences of terminals, base64 pictures, soft
hyphens, characters of no width."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(  # ECMA-48: colours and the like, titles and links, character sets; "a\ba"
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|[^\n]\x08"
)
_BASE64 = "[A-Za-z0-9+/=_%-]"
_DATA = re.compile(
    rf"data:[\w.+/;=-]{{0,200}};base64,{_BASE64}{{40,}}+"
    rf"(?:[ \t]*\r?\n[ \t]*{_BASE64}{{60,}}+)*+(?:[ \t]*\r?\n[ \t]*[A-Za-z0-9+/]{{1,60}}=+)?"
)
LONG_DATA = 1000  # characters; data shorter than that stays in a chunk
# A soft hyphen at the end of a line is where a word is broken: its rest goes up to it.
_BROKEN_WORD = re.compile("\u00ad(\r?\n[ \t]*)(\\S+)[ \t]?")
_INVISIBLE = re.compile("[\u00ad\u180e\u200b\u2060-\u2064\ufeff]+")
# Within a word, for its terms: what joins or parts the forms of letters, directions of writing,
# variants of a character; the joiner's opposite stands between the parts of a word in Persian.
_WITHIN_WORDS = re.compile(
    "(?:\u00ad|\u200c(?![\u0600-\u06ff])|[\u034f\u061c\u180e\u200b\u200d-\u200f"
    "\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef])+"
)
# Any of these: most texts have none, and are looked through once.
_SOME = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff"
    "\U000e0100-\U000e01ef]"
)


def visible(text: str) -> str:
    """What a reader sees of a text: for the screen and for models.

    >>> visible("\\x1b[31mred\\x1b[0m tea\\u00adpot ![](data:image/png;base64," + "iVBO" * 20 + ")")
    'red teapot ![]()'
    """
    if not text.isascii() and _SOME.search(text):
        text = _INVISIBLE.sub("", _BROKEN_WORD.sub(r"\2\1", text))
    return _without_machine_parts(text)


def searchable(text: str) -> str:
    """A text whose words are whole, for the terms made of it.

    >>> searchable("Reise\\u00ad\\nkosten im Mai")
    'Reisekosten\\nim Mai'
    """
    if not text.isascii() and _SOME.search(text):
        text = _WITHIN_WORDS.sub("", _BROKEN_WORD.sub(r"\2\1", text))
    return _without_machine_parts(text)


def _without_machine_parts(text: str) -> str:
    if "\x1b" in text or "\x08" in text:
        text = _SEQUENCE.sub("", text)
    return _DATA.sub(_line_ends, text) if ";base64," in text else text


def _line_ends(data: re.Match[str]) -> str:
    return "\n" * data[0].count("\n")


def long_data(text: str) -> list[tuple[int, int]]:
    """Where the long base64 data of a text are, with the brackets or quotes around each."""
    if ";base64," not in text:
        return []
    spans = []
    for match in _DATA.finditer(text):
        start, end = match.span()
        if end - start >= LONG_DATA:
            while start and text[start - 1] in "(<\"'":
                start -= 1
            while text[end : end + 1] in tuple(")>\"'"):
                end += 1
            spans.append((start, end))
    return spans
