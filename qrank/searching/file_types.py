"""The types of files as users name them: formats, families of them, suffixes."""

from __future__ import annotations

from collections.abc import Sequence

from qrank.analysis.formats import FORMATS

# Names for several formats, or for some suffixes of one, besides the names of the formats.
FAMILIES = {
    "mail": "eml emlx mbox mbx msg",
    "word": "docx docm dotx dotm doc dot rtf odt ott odm fodt",
    "spreadsheet": "xlsx xlsm xlsb xltx xltm xls ods ots fods csv tsv",
    "slides": "pptx pptm ppsx ppsm potx potm ppt pps pot odp otp fodp",
    "ebook": "epub fb2 fbz",
    "shell": "sh bash zsh fish",
    "python": "py pyi",
    "javascript": "js jsx cjs mjs",
    "typescript": "ts tsx cts mts",
    "cpp": "c cpp cxx cc h hpp",
}


def suffixes_of(types: Sequence[str], *, families: bool = True) -> tuple[str, ...]:
    """The suffixes, with dots, of any of some types. families: whether a name of a format or a
    family stands for all its suffixes; otherwise each type is itself a suffix.

    >>> suffixes_of(["mail"]), suffixes_of(["text"], families=False)
    (('.eml', '.emlx', '.mbox', '.mbx', '.msg'), ('.text',))
    """
    by_name = formats() if families else {}
    suffixes = [suffix for name in types for suffix in by_name.get(name.lower(), [name])]
    return tuple(dict.fromkeys("." + suffix.lstrip(".") for suffix in suffixes))


def is_type(name: str) -> bool:
    """Whether a name is that of a format or a family, or a suffix of one."""
    by_name = formats()
    suffix = name.lower().lstrip(".")
    return suffix in by_name or any(suffix in suffixes for suffixes in by_name.values())


def formats() -> dict[str, list[str]]:
    """The names of formats and families, each with its suffixes (without dots)."""
    result = {one.name: one.suffixes.split() for one in FORMATS}
    return result | {name: suffixes.split() for name, suffixes in FAMILIES.items()}
