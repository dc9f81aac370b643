"""Updating whole collections, without naming their folders again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from qrank.errors import InputError, suggestion
from qrank.indexing import roots
from qrank.indexing.embed_missing import embed_texts
from qrank.indexing.index import TimeBox, existing, index_in_time, index_paths
from qrank.indexing.rules import require_rules
from qrank.inference.index_model import IndexModel
from qrank.inference.loading import Embedder
from qrank.names import disk_path
from qrank.progress import Progress
from qrank.reports import IndexReport
from qrank.settings import Placement, Reading, Walking
from qrank.store.interface import CollectionSettings, Root, Store


@dataclass(frozen=True, slots=True)
class Collected:
    """A collection. description: by the user; files: their number; roots: the files and folders it
    was made of; ignore: its own rules; instruction: for models that take one with a query."""

    name: str
    description: str
    files: int
    roots: list[str]
    ignore: list[str]
    instruction: str


class _Walk(NamedTuple):
    """A walk of roots with the same options. others: roots below paths that have a walk of their
    own; missing: roots that do not exist now."""

    paths: list[Path]
    walking: Walking
    reading: Reading
    others: list[str]
    missing: list[str]


def collections(store: Store) -> list[Collected]:
    """The collections of an index, ordered by name."""
    files = {row["name"]: row["files"] for row in store.status()["collections"]}
    all_roots, settings = store.roots(), store.collection_settings()
    result: list[Collected] = []
    for name in sorted({*files, *all_roots, *settings}):
        own = settings.get(name, CollectionSettings())
        root_paths = [root.path for root in all_roots.get(name, ())]
        row = (name, own.description, files.get(name, 0), root_paths)
        result.append(Collected(*row, list(own.ignore), own.instruction))
    return result


def require_known(store: Store, names: Sequence[str]) -> None:
    """Raise InputError for a collection that the index does not have."""
    existing = [collection.name for collection in collections(store)]
    for name in names:
        if name not in existing:
            raise InputError(f"there is no collection {name}", hint=suggestion(name, existing))


def set_collection(
    store: Store,
    name: str,
    description: str | None,
    ignore: Sequence[str] | None,
    instruction: str | None,
) -> None:
    """Change settings of a collection; None leaves one unchanged. Raises InputError for an unknown
    collection or an invalid rule."""
    require_known(store, [name])
    settings = store.collection_settings().get(name, CollectionSettings())
    if description is not None:
        settings = settings._replace(description=" ".join(description.split()))
    if instruction is not None:
        settings = settings._replace(instruction=" ".join(instruction.split()))
    if ignore is not None:
        settings = settings._replace(ignore=tuple(require_rules(ignore)))
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
    """Update collections (all when names is empty) from their roots. walking, reading: options that
    the roots do not have; without a model, nothing is embedded. Raises InputError for an unknown
    collection, or when no roots are known."""
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
        report = index_paths(
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
        _add_report(total, report)
    return total


def refresh(
    store: Store,
    seconds: float,
    walking: Walking,
    reading: Reading,
    model: tuple[int, Callable[[], AbstractContextManager[Embedder]]] | None,
) -> list[str]:
    """Index changes below the roots for at most seconds; returns messages on what may still be
    stale. model: (its id in the store, a function that loads it), a fast one that embeds the new
    texts in the remaining time."""
    box = TimeBox(seconds)
    all_roots = store.roots()
    for name, own_roots in all_roots.items():
        own = roots.with_rules(store, name, walking)
        for options in _options(own_roots):
            walk = _walk(options, own_roots, own, reading)
            index_in_time(store, walk.paths, name, box, walk.walking, walk.reading, walk.others)
    if model and box.texts:
        embed_texts(store, *model, box.texts, lambda: box.left)
    notices = []
    if not all_roots:
        notices.append("not refreshed: name the indexed folders once (qrank index PATH)")
    if box.unread:
        files = "1 changed file was" if box.unread == 1 else f"{box.unread} changed files were"
        notices.append(f"{files} not read (run qrank index)")
    if box.truncated:
        notices.append(f"not all folders were checked in {seconds:g} s (run qrank index)")
    return notices


def _add_report(total: IndexReport, last: IndexReport) -> None:
    """Add the report of the last run to the total."""
    for name in ("added", "updated", "unchanged", "removed", "skipped", "failed", "embedded"):
        setattr(total, name, getattr(total, name) + getattr(last, name))
    total.chunks, total.model = last.chunks, last.model or total.model
    total.replaced += last.replaced
    total.errors += last.errors
    total.seconds = round(total.seconds + last.seconds, 3)


def _options(group: Sequence[Root]) -> list[str]:
    """The distinct options of roots, each of which needs its own walk."""
    return list(dict.fromkeys(root.options for root in group))


def _walk(options: str, all_roots: Sequence[Root], walking: Walking, reading: Reading) -> _Walk:
    """The walk of those roots of a collection that have these options."""
    group = [root.path for root in all_roots if root.options == options]
    present = [path for path in group if os.path.lexists(disk_path(path))]
    own_walking, own_reading = roots.with_options(options, walking, reading)
    paths = existing([Path(disk_path(path)) for path in present], own_walking)
    missing = [path for path in group if path not in present]
    others = roots.named_below(all_roots, paths)
    return _Walk(paths, own_walking, own_reading, others, missing)
