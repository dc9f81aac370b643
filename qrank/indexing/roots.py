"""Roots: the files and folders that a collection was made of, with the options of those runs, so
that it can be updated without naming them again."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qrank.errors import IndexFileError
from qrank.ingest.walk import first_skipped
from qrank.names import disk_path, folder_key, is_under, lies_below, shown_path
from qrank.settings import READ_ALL, WALK_ALL, Reading, Walking
from qrank.store.interface import Root, Store

# The options that are stored: no commands, and not the one that includes secrets, as an index may
# come from somebody else.
_WALKING = ("ignore", "hidden", "globs", "types", "max_filesize")
_READING = ("fields", "ocr", "archives")
_NARROW = ("globs", "types")  # these restrict a run to some of the files


def options_of(walking: Walking, reading: Reading) -> str:
    """The stored options of a run, as JSON; empty when they are the defaults."""
    options = _differences(_WALKING, walking, WALK_ALL) | _differences(_READING, reading, READ_ALL)
    return json.dumps(options, ensure_ascii=False, sort_keys=True) if options else ""


def _differences(names: Sequence[str], given: object, default: object) -> dict[str, Any]:
    values = {name: getattr(given, name) for name in names}
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def with_options(options: str, walking: Walking, reading: Reading) -> tuple[Walking, Reading]:
    """walking and reading with the stored options of a root. Raises IndexFileError for invalid
    ones."""
    try:
        values = json.loads(options or "{}")
        return (
            replace(walking, **{name: values[name] for name in _WALKING if name in values}),
            replace(reading, **{name: values[name] for name in _READING if name in values}),
        )
    except (ValueError, TypeError) as error:
        raise IndexFileError(
            f"the index has invalid options of a folder ({error})",
            hint="index the folder by its name: qrank index PATH",
        ) from error


def with_rules(store: Store, collection: str, walking: Walking) -> Walking:
    """walking with the collection's own ignore rules."""
    settings = store.collection_settings().get(collection)
    return replace(walking, rules=settings.ignore) if settings and settings.ignore else walking


def note(
    store: Store, collection: str, paths: Sequence[Path], walking: Walking, reading: Reading
) -> None:
    """Store paths as roots, with these options. A path that a walk of another root reaches, with
    the same options, is left out. Writes."""
    before = store.roots().get(collection, [])
    roots = {root.path: root for root in before}
    options = options_of(walking, reading)
    for path in paths:
        name = shown_path(str(path))
        own = Root(name, options)
        if name in roots:
            roots[name] = _merged(roots[name], own)
            continue
        if any(_reaches(root, own, walking) for root in roots.values()):
            continue
        below = [root.path for root in roots.values() if _reaches(own, root, walking)]
        roots = {place: root for place, root in roots.items() if place not in below}
        roots[name] = own
    if list(roots.values()) != before:
        store.set_roots(collection, roots.values())


def _merged(before: Root, now: Root) -> Root:
    """A root that was given a second time. A run for some of its files does not remove the others
    from the index, so an update must look for both."""
    old, new = json.loads(before.options or "{}"), json.loads(now.options or "{}")
    narrow = [name for name in _NARROW if name in new]
    if not narrow:
        return now
    if not any(name in old for name in _NARROW):
        return before
    for name in narrow:
        new[name] = list(dict.fromkeys([*old.get(name, []), *new[name]]))
    return Root(now.path, json.dumps(new, ensure_ascii=False, sort_keys=True))


def _reaches(root: Root, other: Root, walking: Walking) -> bool:
    """Whether a walk of a root reaches all files of another, with the same options."""
    options = json.loads(other.options or "{}")
    if json.loads(root.options or "{}") not in (options, _without_narrow(options)):
        return False
    if not lies_below(other.path, root.path):
        return False
    path, top = disk_path(other.path), disk_path(root.path)
    if not os.path.isdir(path):  # noqa: PTH112
        return True  # checking the folders of many single files would take too long
    return first_skipped(path, top, top, walking)[0] is None


def _without_narrow(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _NARROW}


def named_below(roots: Sequence[Root], paths: Sequence[Path]) -> list[str]:
    """The existing stored roots below paths, from which a run over paths must not remove anything:
    no walk from above reaches them, or they have other options."""
    named = {folder_key(shown_path(str(path))) for path in paths}
    return [
        root.path
        for root in roots
        if folder_key(root.path) not in named
        and is_under(root.path, named)
        and os.path.lexists(disk_path(root.path))
    ]


def forget(store: Store, paths: Sequence[str], collections: Sequence[str]) -> None:
    """Remove the roots at and below paths; without paths, all roots of collections. Writes."""
    keys = {folder_key(path) for path in paths}
    for collection, roots in store.roots().items():
        if collections and collection not in collections:
            continue
        remaining = [root for root in roots if keys and not is_under(root.path, keys)]
        if remaining != roots:
            store.set_roots(collection, remaining)
