"""Updating whole collections, without naming their folders again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from qrank.errors import InputError
from qrank.indexing import roots
from qrank.indexing.embed_missing import embed_texts
from qrank.indexing.index import Box, existing, index_paths, look_at
from qrank.indexing.rules import require_rules
from qrank.inference.index_model import IndexModel
from qrank.inference.loading import Embedder
from qrank.names import disk_path
from qrank.progress import Progress
from qrank.results import IndexReport
from qrank.settings import Placement, Reading, Walking
from qrank.store.interface import CollectionSettings, Root, Store


@dataclass(frozen=True, slots=True)
class Collected:
    """A collection: what it is about, as the user described it, how many files it has, the files
    and folders it was made of, its own ignore rules, and what models that take an instruction are
    told with a query."""

    name: str
    description: str
    files: int
    roots: list[str]
    ignore: list[str]
    instruction: str


class _Walk(NamedTuple):
    """One look at roots that have the same options. others: roots below paths that have a walk of
    their own; missing: those that are not there."""

    paths: list[Path]
    walking: Walking
    reading: Reading
    others: list[str]
    missing: list[str]


def collections(store: Store) -> list[Collected]:
    """The collections of an index, with what they are about and made of, by name."""
    files = {row["name"]: row["files"] for row in store.status()["collections"]}
    named, settings = store.roots(), store.collection_settings()
    result: list[Collected] = []
    for name in sorted({*files, *named, *settings}):
        own = settings.get(name, CollectionSettings())
        places = [root.path for root in named.get(name, ())]
        row = (name, own.description, files.get(name, 0), places)
        result.append(Collected(*row, list(own.ignore), own.instruction))
    return result


def require_known(store: Store, names: Sequence[str]) -> None:
    """Raise InputError for a collection that the index does not have."""
    existing = [collection.name for collection in collections(store)]
    for name in names:
        if name not in existing:
            raise InputError(
                f"there is no collection {name}", hint=f"there are {', '.join(existing) or 'none'}"
            )


def set_collection(
    store: Store,
    name: str,
    description: str | None,
    ignore: Sequence[str] | None,
    instruction: str | None,
) -> None:
    """Say something of a collection; None leaves it as it was. Raises InputError."""
    require_known(store, [name])
    settings = store.collection_settings().get(name, CollectionSettings())
    if description is not None:
        settings = replace(settings, description=" ".join(description.split()))
    if instruction is not None:
        settings = replace(settings, instruction=" ".join(instruction.split()))
    if ignore is not None:
        settings = replace(settings, ignore=tuple(require_rules(ignore)))
    with store.transaction():
        store.set_collection(name, settings)


def update(
    store: Store,
    names: Sequence[str],
    model: IndexModel | None,
    placement: Placement,
    progress: Progress,
    walking: Walking,
    reading: Reading,
) -> IndexReport:
    """Bring collections, all without names, up to date with what they are made of; walking and
    reading: what the options of their roots leave open; model None leaves vectors out."""
    require_known(store, names)
    all_roots = store.roots()
    chosen = {name: all_roots[name] for name in names or all_roots if name in all_roots}
    if not chosen:
        unknown = names or [collection.name for collection in collections(store)]
        raise InputError(
            f"it is not known which folders {' and '.join(unknown) or 'the index'} is made of",
            hint="name them once: qrank index PATH",
        )
    total = IndexReport()
    walks = [(name, options) for name in chosen for options in _options(all_roots[name])]
    for number, (name, options) in enumerate(walks, 1):
        walk = _walk(options, all_roots[name], roots.with_rules(store, name, walking), reading)
        total.missing += walk.missing
        done = index_paths(
            store,
            walk.paths,
            name,
            model if number == len(walks) else None,
            placement,
            progress,
            walk.walking,
            walk.reading,
            others=walk.others,
        )
        _count_in(total, done)
    return total


def refresh(
    store: Store,
    seconds: float,
    walking: Walking,
    reading: Reading,
    model: tuple[int, Callable[[], AbstractContextManager[Embedder]]] | None,
) -> list[str]:
    """Take in what changed below the roots, for so many seconds; returns what may still be stale,
    in sentences for people. model: a quick one, with its id in the store, that embeds in the time
    that is left what was read."""
    box = Box(seconds)
    all_roots = store.roots()
    for name, of_name in all_roots.items():
        own = roots.with_rules(store, name, walking)
        for options in _options(of_name):
            walk = _walk(options, of_name, own, reading)
            look_at(store, walk.paths, name, box, walk.walking, walk.reading, walk.others)
    if model and box.texts:
        embed_texts(store, *model, box.texts, lambda: box.left)
    notices = []
    if not all_roots:
        notices.append("not refreshed: name the indexed folders once (qrank index PATH)")
    if box.unread:
        files = "1 changed file was" if box.unread == 1 else f"{box.unread} changed files were"
        notices.append(f"{files} not read (run qrank index)")
    if box.cut:
        notices.append(f"not all folders were checked in {seconds:g} s (run qrank index)")
    return notices


def _count_in(total: IndexReport, done: IndexReport) -> None:
    """Add what another run did, after those before it."""
    for name in ("added", "updated", "unchanged", "removed", "skipped", "failed", "embedded"):
        setattr(total, name, getattr(total, name) + getattr(done, name))
    total.chunks, total.model = done.chunks, done.model or total.model
    total.replaced += done.replaced
    total.errors += done.errors
    total.seconds = round(total.seconds + done.seconds, 3)


def _options(group: Sequence[Root]) -> list[str]:
    """The options that roots of a collection have, each of which takes a walk of its own."""
    return list(dict.fromkeys(root.options for root in group))


def _walk(options: str, all_roots: Sequence[Root], walking: Walking, reading: Reading) -> _Walk:
    """The walk of those roots of a collection that have these options."""
    group = [root.path for root in all_roots if root.options == options]
    there = [path for path in group if os.path.lexists(disk_path(path))]
    walk_options, read = roots.with_options(options, walking, reading)
    # (existing refuses the whole home folder, unless its options allow it.)
    paths = existing([Path(disk_path(path)) for path in there], walk_options)
    missing = [path for path in group if path not in there]
    return _Walk(paths, walk_options, read, roots.named_below(all_roots, paths), missing)
