"""Text parts of mails: their payload, the file formats of some, and enriched text."""

from __future__ import annotations

import binascii
import email
import re
from email.message import EmailMessage

from qrank.analysis.formats import BY_SUFFIX, suffix_of

# MIME types of text parts that are read as files, with a file name for those without one.
_FILES = {
    "text/calendar": "invitation.ics", "text/x-vcalendar": "invitation.ics",
    "text/vcard": "card.vcf", "text/x-vcard": "card.vcf", "text/directory": "card.vcf",
    "text/csv": "table.csv", "text/comma-separated-values": "table.csv",
    "text/tab-separated-values": "table.tsv", "text/markdown": "text.md",
    "text/x-markdown": "text.md", "text/rtf": "text.rtf", "text/vtt": "subtitles.vtt",
    "text/x-rst": "text.rst", "text/prs.fallenstein.rst": "text.rst", "text/org": "text.org",
    "text/x-org": "text.org", "text/asciidoc": "text.adoc", "text/x-bibtex": "list.bib",
    "text/x-tex": "text.tex", "text/x-latex": "text.tex", "text/troff": "page.man",
    "text/json": "data.json", "text/x-gettext-translation": "messages.po",
}  # fmt: skip
# Types that are read together with the text they are an alternative to.
ENTRIES = frozenset(kind for kind, name in _FILES.items() if name.endswith((".ics", ".vcf")))
# Formats that are read as text of the mail, whatever the part's file name.
_BODIES = frozenset({"html", "text", "mail", "mbox"})
HTML = ("text/html", "text/x-amp-html", "text/watch-html", "text/xhtml")
ENRICHED, RICH = "text/enriched", "text/richtext"
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/ \t]*=*[ \t]*\r?(?:\n|\Z))*")
_BOUNDARY = re.compile(r"^--([\w'()+,./:=?-]{1,70})[ \t]*\r?$", re.MULTILINE | re.ASCII)
_COMMAND = re.compile(r"<<|<(/?)([A-Za-z0-9-]{1,60})>")
_SIGNS = {"nl": "\n", "np": "\n\n", "lt": "<"}  # commands of text/richtext
_UNSEEN = frozenset({"param", "comment"})


def payload(part: EmailMessage) -> bytes:
    """The decoded content of a part; empty for a multipart. Unencoded text after a base64 text, as
    mailing lists add it, is kept."""
    encoded = _raw(part)
    encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
    if encoding == "base64" and isinstance(encoded, str):
        body = _BASE64.match(encoded)
        end = body.end() if body else 0
        if added := encoded[end:].strip():
            letters = re.sub(r"[^A-Za-z0-9+/]", "", encoded[:end])
            try:
                data = binascii.a2b_base64(letters + "=" * (-len(letters) % 4))
                return data + b"\n\n" + added.encode("utf-8", "surrogateescape")
            except binascii.Error:
                pass
    decoded = part.get_payload(decode=True)
    return decoded if isinstance(decoded, bytes) else b""


def _raw(part: EmailMessage) -> object:
    """A part's payload as it is in the mail: str with bytes as surrogates, or a list of parts.

    get_payload() decodes it with any codec that the mail names: some take quadratic time, some
    raise UnicodeError.
    """
    return part._payload  # type: ignore[attr-defined]


def find_boundary(part: EmailMessage) -> None:
    """Parse a multipart that declares no boundary, or a wrong one: the first line that looks like a
    boundary is used."""
    text = _raw(part)
    if part.get_content_maintype() != "multipart" or not isinstance(text, str):
        return
    line = _BOUNDARY.search(text)
    if line is None:
        return
    head = f'Content-Type: multipart/mixed; boundary="{line[1]}"\n\n'
    data = (head + text).encode("ascii", "surrogateescape")
    part.set_payload(email.message_from_bytes(data, policy=part.policy).get_payload())


def file_name(part: EmailMessage, name: str, data: bytes) -> str:
    """The file name under which a text part is read as a file, by its name, type or content; empty
    for text of the mail."""
    kind = part.get_content_type()
    if is_rtf(data):
        return name if suffix_of(name) == "rtf" else f"{name or 'text'}.rtf"
    form = BY_SUFFIX.get(suffix_of(name))
    if form is not None:
        return "" if form.name in _BODIES or kind in HTML else name
    unnamed = _FILES.get(kind, "")
    return name + unnamed[unnamed.rfind(".") :] if name and unnamed else unnamed


def is_rtf(data: bytes) -> bool:
    """Whether data is Rich Text Format, by its content."""
    return data.lstrip().startswith(b"{\\rt")


def plain(text: str, kind: str) -> str:
    """Enriched text (RFC 1896), or its predecessor text/richtext (RFC 1341), without markup.

    >>> plain("<bold>Now</bold> is <<the\\ntime.<param>red</param>\\n\\nEnd", "text/enriched")
    'Now is <the time.\\nEnd'
    >>> plain("<italic>Now<nl>is</italic> <lt>the<comment>no</comment> time", "text/richtext")
    'Now\\nis <the time'
    """
    text = text.replace("\r\n", "\n")
    if kind == RICH:
        text = text.replace("\n", " ")
    else:  # a line end is a blank, n line ends are n - 1
        text = re.sub(r"\n+", lambda ends: ends[0][1:] or " ", text)
    pieces: list[str] = []
    unseen = at = 0
    for match in _COMMAND.finditer(text):
        pieces.append(text[at : match.start()] if not unseen else "")
        at = match.end()
        name = (match[2] or "").lower()
        if name in _UNSEEN:
            unseen = max(0, unseen + (-1 if match[1] else 1))
        elif not unseen:
            pieces.append("<" if not name else _SIGNS.get(name, "") * (kind == RICH))
    return "".join([*pieces, text[at:] if not unseen else ""])
