"""The files and folders of a collection, with the options of the runs that named them, so that it
can be updated without naming them again."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qrank.errors import IndexFileError
from qrank.ingest.walk import on_the_way
from qrank.names import disk_path, folder_key, is_under, lies_below, shown_path
from qrank.settings import READ_ALL, WALK_ALL, Reading, Walking
from qrank.store.interface import Root, Store

# What is kept of a run. No command, and nothing that lets secrets in: an index may be from
# somebody else.
_WALKING = ("ignore", "hidden", "globs", "types", "max_filesize")
_READING = ("fields", "ocr", "archives")
_NARROW = ("globs", "types")  # a run with these looks only for some of the files


def options_of(walking: Walking, reading: Reading) -> str:
    """The stored options of a run, as JSON; empty when they are the defaults."""
    options = _differences(_WALKING, walking, WALK_ALL) | _differences(_READING, reading, READ_ALL)
    return json.dumps(options, ensure_ascii=False, sort_keys=True) if options else ""


def _differences(names: Sequence[str], given: object, default: object) -> dict[str, Any]:
    values = {name: getattr(given, name) for name in names}
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def with_options(options: str, walking: Walking, reading: Reading) -> tuple[Walking, Reading]:
    """How a run that names nothing finds and reads the files of a root: by its options, else as
    walking and reading say. Raises IndexFileError for options that make no sense."""
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
    """How the files of a collection are found: by its own ignore rules, too."""
    settings = store.collection_settings().get(collection)
    return replace(walking, rules=settings.ignore) if settings and settings.ignore else walking


def note(
    store: Store, collection: str, paths: Sequence[Path], walking: Walking, reading: Reading
) -> None:
    """Keep that paths were named, with these options. What lies below one that is known, and is
    reached from there by the same options, needs no note. Writes."""
    before = store.roots().get(collection, [])
    roots = {root.path: root for root in before}
    options = options_of(walking, reading)
    for path in paths:
        name = shown_path(str(path))
        own = Root(name, options)
        if name in roots:
            roots[name] = _both(roots[name], own)
            continue
        if any(_reaches(root, own, walking) for root in roots.values()):
            continue
        below = [root.path for root in roots.values() if _reaches(own, root, walking)]
        roots = {place: root for place, root in roots.items() if place not in below}
        roots[name] = own
    if list(roots.values()) != before:
        store.set_roots(collection, roots.values())


def _both(before: Root, now: Root) -> Root:
    """A root that was named a second time: a run that looked only for some of its files leaves the
    others in, so that they are to be searched for, too."""
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
    """Whether a walk of a root comes to all that another one asks for, and treats it the same."""
    options = json.loads(other.options or "{}")
    if json.loads(root.options or "{}") not in (options, _without_narrow(options)):
        return False
    if not lies_below(other.path, root.path):
        return False
    path, top = disk_path(other.path), disk_path(root.path)
    if not os.path.isdir(path):  # noqa: PTH112
        return True  # one look at its folder for each of many files takes too long
    return on_the_way(path, top, top, walking)[0] is None


def _without_narrow(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _NARROW}


def named_below(roots: Sequence[Root], paths: Sequence[Path]) -> list[str]:
    """The stored roots below paths, which a run over those leaves to themselves: they were named
    because no walk reaches them, or with other options. Only those that are still there."""
    named = {folder_key(shown_path(str(path))) for path in paths}
    return [
        root.path
        for root in roots
        if folder_key(root.path) not in named
        and is_under(root.path, named)
        and os.path.lexists(disk_path(root.path))
    ]


def forget(store: Store, paths: Sequence[str], collections: Sequence[str]) -> None:
    """Forget roots at and below paths, or all of collections when there are no paths. Writes."""
    keys = {folder_key(path) for path in paths}
    for collection, roots in store.roots().items():
        if collections and collection not in collections:
            continue
        left = [root for root in roots if keys and not is_under(root.path, keys)]
        if left != roots:
            store.set_roots(collection, left)
