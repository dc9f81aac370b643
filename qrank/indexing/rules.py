"""Writing and checking ignore rules."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from qrank.errors import InputError
from qrank.files import reason
from qrank.indexing.roots import with_options, with_rules
from qrank.ingest.ignore import IGNORE_FILES, parse
from qrank.ingest.walk import first_skipped
from qrank.names import disk_path, folder_key, lies_below, over, shown_path
from qrank.settings import READ_ALL, Walking
from qrank.store.interface import Store

OWN = IGNORE_FILES[-1]
MOST_RULES = 100_000  # characters, of a collection's own rules
_SPECIAL = re.compile(r"([\\*?\[\]!#])")


def ignore(store: Store, paths: Sequence[str]) -> list[tuple[Path, str]]:
    """Append a rule for each absolute path to the ignore file of the indexed folder that it is
    below, else of its own folder; returns (file, rule) for each. Raises InputError for a file that
    can't be written."""
    tops = {folder_key(root.path) for roots in store.roots().values() for root in roots}
    rules: list[tuple[Path, str]] = []
    for path in paths:
        name = folder_key(shown_path(path))
        own = os.path.dirname(path)  # noqa: PTH120
        top = next((top for top in over(name, tops) if top != name), shown_path(own))
        place = Path(disk_path(top) or "/")
        below = os.path.relpath(path, place).replace(os.sep, "/")
        rule = "/" + _SPECIAL.sub(r"\\\1", below).removesuffix(" ")
        rule += "\\ " * below.endswith(" ") + "/" * os.path.isdir(path)  # noqa: PTH112
        _append(place / OWN, rule)
        rules.append((place / OWN, rule))
    return rules


def require_rules(texts: Sequence[str]) -> list[str]:
    """The non-empty lines of texts, as ignore rules. Raises InputError for a line that is not a
    valid rule."""
    rules = [line for text in texts for line in text.splitlines() if line.strip()]
    if sum(map(len, rules)) > MOST_RULES:
        raise InputError(f"the rules have more than {MOST_RULES:,} characters")
    for rule in rules:
        if not rule.startswith("#") and parse(os.fsencode(rule), 1) is None:
            raise InputError(
                f"{rule!r} is not a valid ignore rule",
                hint="rules are as in a .gitignore: drafts/, *.log, !keep.log",
            )
    return rules


def coming_back(store: Store, paths: Sequence[str], walking: Walking) -> dict[str, str]:
    """Those of some absolute paths that exist and would be indexed again by the next update, each
    with the root that leads to it."""
    all_roots = [
        (root, with_rules(store, name, walking))
        for name, roots in store.roots().items()
        for root in roots
    ]
    result: dict[str, str] = {}
    for path in paths:
        for root, own in all_roots:
            if not (os.path.lexists(path) and lies_below(shown_path(path), root.path)):
                continue
            top = disk_path(root.path)
            if first_skipped(path, top, top, with_options(root.options, own, READ_ALL)[0])[0]:
                continue
            result[path] = root.path
    return result


def _append(file: Path, rule: str) -> None:
    try:
        with file.open("ab+") as stream:
            stream.seek(0)
            before, line = stream.read(), os.fsencode(rule)
            if line not in before.splitlines():
                stream.write((b"\n" if before[-1:] not in (b"", b"\n") else b"") + line + b"\n")
    except OSError as error:
        raise InputError(
            f"can't write the rule {rule} to {file}: {reason(error)}",
            hint="write it to an ignore file of your own",
        ) from error
