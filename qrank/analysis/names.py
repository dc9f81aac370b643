"""Name keys of documents: one key for the several ways in which people type a name."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

LONGEST = 200  # characters of a key


def name_key(name: str) -> str:
    """The letters and digits of a name without case and accents: equal for all spellings of it.

    >>> name_key("Budget_Review-2025"), name_key("budget review 2025"), name_key("Café.md")
    ('budgetreview2025', 'budgetreview2025', 'cafemd')
    """
    plain = unicodedata.normalize("NFKD", name[: 2 * LONGEST]).casefold()
    return "".join(char for char in plain if char.isalnum())[:LONGEST]


def name_keys(path: str, title: str) -> set[str]:
    """The keys of a document's names: its file name with and without the suffix, and its title.

    >>> sorted(name_keys("/notes/TeaPot.md", "On tea"))
    ['ontea', 'teapot', 'teapotmd']
    """
    file = PurePosixPath(path)
    return {key for name in (file.name, file.stem, title) if (key := name_key(name))}


def asks_for(query: str, path: str) -> bool:
    """Whether a query may name the document at path: the folders in the query, if any, must be the
    last ones of path. (That the names match is known: they have the same key.)

    >>> asks_for("src/tea.py", "/home/src/tea.py"), asks_for("lib/tea.py", "/home/src/tea.py")
    (True, False)
    """
    folders, slash, _ = query.strip().replace("\\", "/").rpartition("/")
    folders = unicodedata.normalize("NFC", folders).removeprefix("./").strip("/").casefold()
    own = unicodedata.normalize("NFC", str(PurePosixPath(path).parent)).casefold()
    return not slash or f"{own}/".endswith(f"/{folders}/") or own == folders
