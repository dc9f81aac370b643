"""The status of a path: when and as what a file was indexed, or why it was not; for a folder,
counts of its skipped files by reason."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Set
from pathlib import Path

from qrank.errors import InputError, NoTextError
from qrank.indexing.plan import plan
from qrank.indexing.roots import with_rules
from qrank.ingest import secrets
from qrank.ingest.content import has_changed, open_regular
from qrank.ingest.extract import format_of
from qrank.ingest.ignore import Rules
from qrank.ingest.walk import UNREAD, Skipped, first_skipped, secret, too_large, walk, walk_below
from qrank.names import absolute, disk_path, folder_key, lies_below, shown_path, spellings
from qrank.reports import PathStatus, SkipReason
from qrank.results import Task
from qrank.settings import READ_ALL, Walking
from qrank.store.interface import SkippedFile, Store

NEW = "not indexed yet (qrank index)"
EXAMPLES = 3  # files shown for each reason


def path_status(store: Store, path: str, walking: Walking) -> PathStatus:
    """The status of a file or folder. Raises InputError for one that does not exist and is not in
    the index."""
    place = absolute(disk_path(path))
    candidates = (store.indexed_files(name) for name in spellings(path))
    indexed = next((files for files in candidates if files), [])
    is_there = os.path.lexists(place)
    if not is_there and not indexed:
        raise InputError(f"{path} does not exist and is not in the index {store.path}")
    shown = shown_path(place)
    names = dict.fromkeys(["default", *(c["name"] for c in store.status()["collections"])])
    stored = {file.path for name in names for file in store.files(name)}
    skipped = {file.path: file for name in names for file in store.skipped_files(name)}
    is_folder = os.path.isdir(place) if is_there else len(indexed) > 1  # noqa: PTH112
    status = PathStatus(shown, is_folder, indexed)
    for file in indexed:
        is_stale = has_changed(file.path, file.signature, file.hash, file.root)
        if is_stale is not False:
            (status.stale if is_stale else status.elsewhere).add(file.path)
    if not is_there:
        return status
    top, start = _walked(place, [*stored, *skipped])
    for name, roots in store.roots().items():
        own = with_rules(store, name, walking)
        for root in roots if own.rules else ():
            if lies_below(shown, root.path):  # the rules are relative to the root
                walking, top, start = own, disk_path(root.path), disk_path(root.path)
    above, rules = first_skipped(place, top, start, walking)
    if above and not indexed:
        status.reason = _reason(above, shown)
    if is_folder:
        status.skipped = [] if status.reason else _below(place, rules, stored, skipped)
    else:
        status.format = _format(place)
        if not indexed and not status.reason:
            status.reason = _why_not(place, skipped.get(shown), walking)
    return status


def _walked(path: str, stored: Collection[str]) -> tuple[str, str]:
    """(the probable root of the walk that found path, the deepest folder above path that was
    certainly walked), guessed from the stored paths, as roots are not known for old indexes."""
    parent = os.path.dirname(path)  # noqa: PTH120
    folders = [os.path.dirname(other) for other in stored]  # noqa: PTH120
    try:
        top = os.path.commonpath(folders) if folders else parent
    except ValueError:  # drives of Windows
        top = parent
    start = parent
    while folder_key(start) and not any(
        other.startswith(folder_key(start) + "/") for other in stored
    ):
        start = os.path.dirname(start)  # noqa: PTH120
    if not folder_key(start):
        return parent, parent
    if not f"{folder_key(start)}/".startswith(folder_key(top) + "/"):
        top = start
    return top, start


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


def _below(
    folder: str, rules: Rules, stored: Set[str], skipped: Mapping[str, SkippedFile]
) -> list[SkipReason]:
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

    for file in walk_below(folder, rules, on_skipped):
        if file.path not in stored:
            known_reason = _known_reason(file, skipped.get(file.path), rules.walking)
            count(known_reason or NEW, file.path)
    return sorted(reasons.values(), key=lambda each: -each.files - each.folders)
