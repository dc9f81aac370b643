"""What encodings are called in pages, mails and books, and the codec that reads what is so called.

As browsers do (encoding.spec.whatwg.org), a label stands for the superset that programs write:
iso-8859-1 for cp1252, gb2312 for gb18030. Labels that browsers don't know are Python's, with the
spellings that mail programs have for them.
"""

from __future__ import annotations

import codecs
import re

_SUPERSETS = {  # of what webencodings calls an encoding: Python's codec of it
    "gbk": "gb18030", "shift_jis": "cp932", "euc-kr": "cp949", "big5": "big5hkscs",
    "iso-2022-jp": "iso2022_jp_ext", "iso-8859-8-i": "iso-8859-8", "x-mac-cyrillic": "mac-cyrillic",
    "macintosh": "mac-roman", "windows-874": "cp874", "utf-16be": "utf-16-be",
    "utf-16le": "utf-16-le",
    "x-user-defined": "cp1252",  # as for a page that says so in its text
}  # fmt: skip
_OTHERS = {
    "utf8mb4": "utf-8", "unicode-1-1-utf-7": "utf-7", "x-unicode-2-0-utf-7": "utf-7",
    "x-utf-7": "utf-7", "hz-gb-2312": "hz", "iso-2022-kr": "iso2022_kr",
    "csiso2022kr": "iso2022_kr",
    "iso-8859-8-e": "iso-8859-8", "x-mac-ce": "mac-latin2", "x-mac-centraleurroman": "mac-latin2",
    "x-mac-greek": "mac-greek", "x-mac-turkish": "mac-turkish", "x-mac-icelandic": "mac-iceland",
    "x-mac-croatian": "mac-croatian", "x-mac-romanian": "mac-romanian", "x-mac-japanese": "cp932",
    "x-mac-korean": "cp949", "x-mac-chinesesimp": "gb18030", "x-mac-chinesetrad": "big5hkscs",
    "cp950": "big5hkscs", "cp936": "gb18030", "cp932": "cp932", "cp949": "cp949",
    "utf-32": "utf-32",
}  # fmt: skip
_PAGE = re.compile(r"(?:x[-_])?(?:windows|win|cp|ms|ibm|dos|ansi)[-_ ]?(\d{3,5})")
_ISO = re.compile(r"(?:x[-_])?iso[-_ ]?8859[-_ ]?(\d\d?)(?:[-_: ].*)?")
_UTF = re.compile(r"(?:unicode-1-1-|x-unicode-2-0-)?utf[-_ ]?(8|16|32)[-_ ]?(le|be)?(?:n?|-?sig)")
# Codecs that are for names or for programs; the first two take quadratic time.
_NO_ENCODINGS = frozenset("idna punycode unicode_escape raw_unicode_escape undefined".split())


def codec_of(label: str) -> str:
    """The name of Python's codec for an encoding as it is called.

    Raises LookupError for what is no encoding that texts are in.

    >>> [codec_of(label) for label in ("ISO-8859-1", " gb2312 ", "ks_c_5601-1987", "win-1251")]
    ['cp1252', 'gb18030', 'cp949', 'cp1251']
    """
    import webencodings

    name = label.strip(" \t\r\n\f\"'").lower()
    if not name.isascii() or len(name) > 60 or "\0" in name:
        raise LookupError(name)
    if name in _OTHERS:
        return _OTHERS[name]
    for spelling, form in ((_PAGE, "cp{}"), (_ISO, "iso-8859-{}"), (_UTF, "utf-{}{}")):
        if found := spelling.fullmatch(name):
            name = form.format(*(part or "" for part in found.groups()))
            break
    name = _OTHERS.get(name, name)
    known = webencodings.lookup(name)
    if known is not None and known.name != "replacement":
        name = _SUPERSETS.get(known.name, known.name)
    found_name = codecs.lookup(name).name
    if found_name.replace("-", "_") in _NO_ENCODINGS:
        raise LookupError(name)
    b"a".decode(found_name, "replace")  # raises LookupError for a codec that makes no text
    return found_name
