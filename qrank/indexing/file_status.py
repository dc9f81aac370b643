"""The status of a path: when and as what a file was indexed, or why it was not; for a folder,
counts of its skipped files by reason."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path

from qrank.errors import InputError, NoTextError
from qrank.indexing.plan import plan
from qrank.indexing.roots import with_rules
from qrank.ingest import secrets
from qrank.ingest.content import has_changed, open_regular
from qrank.ingest.extract import format_of
from qrank.ingest.ignore import Rules
from qrank.ingest.walk import UNREAD, Skipped, first_skipped, secret, too_large, walk, walk_below
from qrank.names import absolute, disk_path, folder_key, is_under, lies_below, shown_path, spellings
from qrank.reports import PathStatus, SkipReason
from qrank.results import Task
from qrank.settings import READ_ALL, Walking
from qrank.store.interface import SkippedFile, Store

NEW = "not indexed yet (qrank index)"
EXAMPLES = 3  # files shown for each reason
PAGE = 1000  # files looked up at once


def path_status(store: Store, path: str, walking: Walking) -> PathStatus:
    """The status of a file or folder. Raises InputError for one that does not exist and is not in
    the index."""
    place = absolute(disk_path(path))
    shown = shown_path(place)
    status = _indexed(store, path, shown)
    if not os.path.lexists(place):
        if not status.files:
            raise InputError(f"{path} does not exist and is not in the index {store.path}")
        return status
    if os.path.isdir(place):  # noqa: PTH112
        status.is_folder, status.indexed = True, []
    elif status.is_folder:  # it was a folder when its files were indexed
        status = PathStatus(shown, is_folder=False)
    names = dict.fromkeys(["default", *(c["name"] for c in store.status()["collections"])])
    top, start, walking = _walked(store, [*names], place, walking)
    above, rules = first_skipped(place, top, start, walking)
    if above and not status.files:
        status.reason = _reason(above, shown)
    if status.is_folder:
        status.skipped = [] if status.reason else _below(store, [*names], place, rules)
    else:
        status.format = _format(place)
        if not status.files and not status.reason:
            of_path = (file for name in names for file in store.skipped_files(name, [shown]))
            status.reason = _why_not(place, next(of_path, None), walking)
    return status


def _indexed(store: Store, path: str, shown: str) -> PathStatus:
    """What is indexed at a path, or else at another spelling of it."""
    status = PathStatus(shown, is_folder=False)
    for name in spellings(path):
        for place, same in groupby(store.indexed_files(name), attrgetter("path")):
            files = list(same)  # one for each collection
            changed = {has_changed(place, f.signature, f.hash, f.root) for f in files}
            status.files += 1
            status.chunks += sum(file.chunks for file in files)
            status.vectors += sum(file.vectors for file in files)
            status.partly += any(file.note for file in files)
            status.stale += True in changed
            status.elsewhere += None in changed
            if lies_below(place, name):
                status.is_folder = True
            else:
                status.indexed += files
        if status.files:
            break
    return status


def _walked(
    store: Store, names: Sequence[str], path: str, walking: Walking
) -> tuple[str, str, Walking]:
    """(the root of the walk that finds path, the deepest folder above path that it certainly
    reaches, walking with the rules of the root's collection). Guessed where no root is above path:
    from other roots, or else, in an index of an old version, from the stored files."""
    above: list[tuple[bool, int, str, Walking]] = []
    folders: list[str] = []
    for name, roots in store.roots().items():
        own = with_rules(store, name, walking)
        for root in roots:
            place = disk_path(root.path)
            folders.append(place if os.path.isdir(place) else _folder_of(place))  # noqa: PTH112
            if lies_below(shown_path(path), root.path):
                above.append((bool(own.rules), len(place), place, own))
    if above:  # the rules are relative to the root
        *_, root_path, walking = max(above, key=lambda each: each[:3])
        return root_path, root_path, walking
    stored = (
        file.path
        for name in names
        for files in (store.files(name), store.skipped_files(name))
        for file in files
    )
    return *_guessed(path, folders or map(_folder_of, stored)), walking


def _folder_of(path: str) -> str:
    return os.path.dirname(path)  # noqa: PTH120


def _guessed(path: str, folders: Iterable[str]) -> tuple[str, str]:
    """(the folder that has all of some folders, the deepest folder above path that has one of
    them)."""
    parent = _folder_of(path)
    top = start = ""
    for folder in folders:
        top = _common(top, folder) if top else folder
        start = max(start, _common(parent, folder), key=len)
    if not folder_key(start):
        return parent, parent
    return (top if is_under(start, {folder_key(top)}) else start), start


def _common(one: str, other: str) -> str:
    """The deepest folder that has both; "" when there is none."""
    if one == other:
        return one
    try:
        return os.path.commonpath([one, other])
    except ValueError:  # drives of Windows
        return ""


def _reason(skipped: Skipped, path: str) -> str:
    text = f"ignored by {skipped.reason}" if skipped.kind == "ignored" else skipped.reason
    return text if skipped.path == path else f"{skipped.path}: {text}"


def _format(path: str) -> str:
    try:
        with open_regular(path) as file:
            return format_of(file, os.path.basename(path))  # noqa: PTH119
    except (OSError, NoTextError):
        return ""


def _why_not(path: str, before: SkippedFile | None, walking: Walking) -> str:
    """Why a file is not in the index: by its name and size, by its stored reason, or else by
    reading it now."""
    skipped: list[Skipped] = []
    for file in walk([Path(path)], walking, skipped.append):
        if reason := _known_reason(file, before, walking):
            return reason
    for each in skipped:
        if each.kind == UNREAD:
            return each.reason
    return next((file.reason for file in plan([Path(path)], walking, READ_ALL)), "") or NEW


def _known_reason(file: Task, before: SkippedFile | None, walking: Walking) -> str:
    """Why a file is not indexed, if that is known without reading it, else ""; before: its entry
    in the index as a skipped file."""
    if what := secret(file, walking):
        return secrets.reason(what)
    if reason := too_large(file, walking):
        return reason
    if before is None or before.signature != file.signature:
        return ""
    problem = before.problem
    return secrets.reason(problem.reason) if problem.kind == "secret" else problem.reason


def _below(store: Store, names: Sequence[str], folder: str, rules: Rules) -> list[SkipReason]:
    """Why files and folders below a folder are not in the index, the most frequent reason first."""
    reasons: dict[str, SkipReason] = {}

    def count(reason: str, path: str, is_folder: bool = False) -> None:
        entry = reasons.setdefault(reason, SkipReason(reason))
        entry.folders += is_folder
        entry.files += not is_folder
        if len(entry.examples) < EXAMPLES:
            entry.examples.append(path)

    def on_skipped(each: Skipped) -> None:
        count(_reason(each, each.path), each.path, each.is_folder)

    files = walk_below(folder, rules, on_skipped)
    while page := list(islice(files, PAGE)):
        paths = [file.path for file in page]
        stored = {file.path for name in names for file in store.files(name, paths)}
        skipped = {file.path: file for name in names for file in store.skipped_files(name, paths)}
        for file in page:
            if file.path not in stored:
                known_reason = _known_reason(file, skipped.get(file.path), rules.walking)
                count(known_reason or NEW, file.path)
    return sorted(reasons.values(), key=lambda each: -each.files - each.folders)
