"""Escaping control characters in documents, names and queries for the terminal."""

from __future__ import annotations

from qrank.markup.visible import visible

_BIDI = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
_CONTROL = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
    **_BIDI,
}


def escape_control_chars(text: str) -> str:
    """Replace control characters by visible symbols, so that a document can't send escape
    sequences to the terminal.

    >>> escape_control_chars("\\x1b[31mred")
    '␛[31mred'
    """
    return text.translate(_CONTROL)


def escape_text(text: str) -> str:
    """Escape the text of a chunk, and remove invisible parts: color codes, soft hyphens.

    >>> escape_text("\\x1b[31mred\\x07")
    'red␇'
    """
    return escape_control_chars(visible(text))


def escape_line(name: str) -> str:
    """Escape a path or heading, line ends and tabs included.

    >>> escape_line("a\\nb")
    'a␊b'
    """
    return escape_control_chars(name).replace("\n", "\u240a").replace("\t", "\u2409")
