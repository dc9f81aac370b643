"""What a model is given of a chunk: the headings it stands under, then its text."""

from __future__ import annotations

VERSION = 1


def passage_text(title: str, heading: str, text: str) -> str:
    """A chunk's readable text with its breadcrumb, which is never stored in the text itself.

    >>> passage_text("Tea", "Tea > Green", "Steep."), passage_text("", "", "Steep.")
    ('Tea > Green\\nSteep.', 'Steep.')
    """
    trail = heading
    if title and heading.split(" > ")[0] != title:
        trail = f"{title} > {heading}" if heading else title
    return f"{trail}\n{text}" if trail else text


def passage_hash(title: str, heading: str, text: str) -> bytes:
    """16 bytes that stand for the passage: equal passages are embedded once."""
    import hashlib  # 3 ms, which a search by words does without

    return hashlib.blake2b(
        passage_text(title, heading, text).encode("utf-8"), digest_size=16, salt=bytes([VERSION])
    ).digest()
