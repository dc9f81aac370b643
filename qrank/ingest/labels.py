"""The codecs for labels of encodings in pages, mails and books.

As in browsers (encoding.spec.whatwg.org), a label means the superset that programs actually write:
iso-8859-1 means cp1252, gb2312 means gb18030. Most labels are names or aliases of Python's codecs.
"""

from __future__ import annotations

import codecs
import re

_SUPERSETS = {  # the declared codec: the superset of it to use
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874",
    "tis-620": "cp874", "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949",
    "shift_jis": "cp932", "big5": "big5hkscs", "cp950": "big5hkscs", "iso2022_jp": "iso2022_jp_ext",
    "utf-16": "utf-16-le", "utf-8-sig": "utf-8",
}  # fmt: skip
# Labels that Python does not know, by codec.
_LABELS = {
    "utf-8": "utf8mb4 unicode11utf8 unicode20utf8 x-unicode20utf8",
    "utf-7": "unicode-1-1-utf-7 x-unicode-2-0-utf-7 x-utf-7",
    "utf-16-le": "ucs-2 csunicode iso-10646-ucs-2 unicode unicodefeff",
    "utf-16-be": "unicodefffe",
    "cp1252": "x-user-defined",  # as in browsers, where a page declares it in its text
    "iso-8859-6": "csiso88596e csiso88596i",
    "iso-8859-7": "sun_eu_greek",
    "iso-8859-8": "csiso88598e csiso88598i logical visual",
    "iso-8859-15": "csisolatin9",
    "koi8-r": "koi koi8",
    "koi8-u": "koi8-ru",
    "gb18030": "csgb2312 gb_2312 gb_2312-80 x-gbk x-mac-chinesesimp",
    "hz": "hz-gb-2312",
    "big5hkscs": "cn-big5 x-x-big5 x-mac-chinesetrad",
    "cp932": "windows-31j x-sjis x-mac-japanese",
    "euc_jp": "cseucpkdfmtjapanese x-euc-jp",
    "cp949": "cseuckr csksc56011987 iso-ir-149 ks_c_5601-1989 ksc_5601 x-mac-korean",
    "iso2022_kr": "csiso2022kr",
    "mac-roman": "csmacintosh mac x-mac-roman",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "mac-latin2": "x-mac-ce x-mac-centraleurroman",
    "mac-greek": "x-mac-greek",
    "mac-turkish": "x-mac-turkish",
    "mac-iceland": "x-mac-icelandic",
    "mac-croatian": "x-mac-croatian",
    "mac-romanian": "x-mac-romanian",
}
_NAMES = {label: name for name, labels in _LABELS.items() for label in labels.split()}
_PAGE = re.compile(r"(?:x[-_])?(?:windows|win|cp|ms|ibm|dos|ansi)[-_ ]?(\d{3,5})")
_ISO = re.compile(r"(?:x[-_])?iso[-_ ]?8859[-_ ]?(\d\d?)(?:[-_: ].*)?")
_UTF = re.compile(r"(?:unicode-1-1-|x-unicode-2-0-)?utf[-_ ]?(8|16|32)[-_ ]?(le|be)?(?:n?|-?sig)")
# Codecs that are not for texts; the first two take quadratic time.
_NO_ENCODINGS = frozenset("idna punycode unicode_escape raw_unicode_escape undefined".split())


def codec_of(label: str) -> str:
    """The name of Python's codec for a label of an encoding.

    Raises LookupError for an unknown label, and for codecs that are not for texts.

    >>> [codec_of(label) for label in ("ISO-8859-1", " gb2312 ", "ks_c_5601-1987", "win-1251")]
    ['cp1252', 'gb18030', 'cp949', 'cp1251']
    """
    name = label.strip(" \t\r\n\f\"'").lower()
    if not name.isascii() or len(name) > 60 or "\0" in name:
        raise LookupError(name)
    for spelling, form in ((_PAGE, "cp{}"), (_ISO, "iso-8859-{}"), (_UTF, "utf-{}{}")):
        if name not in _NAMES and (match := spelling.fullmatch(name)):
            name = form.format(*(part or "" for part in match.groups()))
            break
    codec = codecs.lookup(_NAMES.get(name, name)).name
    if codec.replace("-", "_") in _NO_ENCODINGS:
        raise LookupError(name)
    b"a".decode(codec, "replace")  # raises LookupError for a codec of bytes to bytes
    return _SUPERSETS.get(codec, codec)
