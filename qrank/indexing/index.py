"""Indexing: walk -> extract -> chunk -> store, then embed what has no vector yet."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path

from qrank import chunk_text
from qrank.analysis import text
from qrank.errors import ExtractError, InputError, Problem
from qrank.indexing.embed_first import EmbedFirst
from qrank.indexing.embed_missing import embed_missing
from qrank.inference.index_model import IndexModel
from qrank.inference.loading import LazyEmbedder
from qrank.ingest import chunk as chunking
from qrank.ingest import extract, secrets
from qrank.ingest.extract import ocr
from qrank.ingest.prepare import Outcome, Part, as_before, made_by, needs_worker
from qrank.ingest.problems import problem_of
from qrank.ingest.readers import HERE, read_all
from qrank.ingest.spool import spooled
from qrank.ingest.walk import UNREAD, Skipped, Within, secret, too_large, walk
from qrank.names import absolute, folder_key, is_under, named_path, on_disk, shown_path
from qrank.progress import Progress, Silent
from qrank.results import FileError, IndexReport, NewChunk, Signature, Task
from qrank.settings import READ_ALL, WALK_ALL, Placement, Reading, Walking
from qrank.store.interface import NewDocument, SkippedFile, Store

_MADE_BY = (extract, chunking, text, chunk_text, secrets)
EXTRACTOR = ".".join(str(module.VERSION) for module in _MADE_BY)
OF_SECRET = ".secret"  # ends the extractor of a file that was read although it holds a key
# A transaction is written when one of these is reached: large ones cost less, and nobody sees
# what is in them before.
COMMIT_SECONDS, COMMIT_FILES, COMMIT_CHUNKS = 2.0, 512, 2048
COMMIT_ORPHANS = 2048


def existing(paths: Iterable[Path], walking: Walking = WALK_ALL) -> list[Path]:
    """Paths as they are indexed, each once: absolute, without dots and links.

    Raises InputError when one does not exist, or contains walking.home.
    """
    roots: list[Path] = []
    home = walking.home and Path(absolute(str(walking.home)))
    for path in paths:
        root = Path(absolute(str(path)))
        if not root.exists():
            named = Path(on_disk(str(path)))
            if named.is_symlink():
                raise InputError(f"{named} is a broken symlink")
            raise InputError(f"there is no file or folder {named}")
        if home and (root == home or root in home.parents):
            raise InputError(
                f"{root} contains your whole home folder",
                hint="name the folders you mean, or use --whole-home",
            )
        roots.append(root)
    return list(dict.fromkeys(roots))


def links(paths: Iterable[Path]) -> list[Path]:
    """The names of paths that are links or lie under one: an older version indexed them so."""
    named = (on_disk(str(path)) for path in paths)
    return [Path(name) for name in named if name != absolute(name)]


def index_paths(
    store: Store,
    roots: Sequence[Path],
    collection: str,
    model: IndexModel | None,
    placement: Placement,
    progress: Progress,
    walking: Walking = WALK_ALL,
    reading: Reading = READ_ALL,
    former: Sequence[Path] = (),
    others: Collection[str] = (),
) -> IndexReport:
    """Bring the index up to date with what lies under roots, as `existing` gives them; model None
    leaves vectors out. former: where an older version would have put what is there. others: places
    below roots that are not theirs, from which nothing is removed. Files that can't be read are
    noted in the report and passed over.
    """
    if reading.ocr:
        ocr.checked(reading.ocr)
    started = time.monotonic()
    report = IndexReport()
    store.hold(collection)
    progress.stage("reading", None)
    update = _Update(store, collection, report, progress, walking, reading)
    if model is None:
        update.run(roots, former, others)
    else:
        report.model = model.choice.name
        with LazyEmbedder(model.choice, placement) as embedder:
            first = EmbedFirst(store, model, embedder) if store.adds_vectors_anew else None
            update.run(roots, former, others, first)
            report.embedded, report.replaced = embed_missing(store, model, embedder, progress)
        report.embedded += first.embedded if first else 0
    report.chunks = store.count_chunks()
    report.seconds = round(time.monotonic() - started, 3)
    return report


class Box:
    """The time that a quick look may take; what it leaves is counted. It reads only what is read
    here and now: plain text, and not much of it."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._bytes = 0
        self.cut = False  # whether not all folders were examined
        self.unread = 0  # files that changed, and were not read
        self.texts: list[bytes] = []  # hashes of unique texts of what was read

    @property
    def left(self) -> float:
        """Seconds until the time is up."""
        return self._end - time.monotonic()

    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.left < 0

    def takes(self, task: Task, reading: Reading) -> bool:
        """Whether a file that changed is to be read; it is counted when it is not."""
        size = task.signature.size
        if self.is_over() or needs_worker(task.path, reading) or self._bytes + size > HERE:
            self.unread += 1
            return False
        self._bytes += size
        return True


class _Update:
    """One run over the files of a collection: what changed is read and written again."""

    def __init__(
        self,
        store: Store,
        collection: str,
        report: IndexReport,
        progress: Progress,
        walking: Walking,
        reading: Reading,
        box: Box | None = None,
    ) -> None:
        self._store, self._collection, self._box = store, collection, box
        self._report, self._progress = report, progress
        self._walking, self._reading = walking, reading
        self._stored = store.files(collection)
        self._skipped = store.skipped_files(collection)
        self._named: set[str] = set()  # what the user named: its reason is always said
        self._seen: set[str] = set()  # found on disk, and in the index or skipped from now on
        self._unread: set[str] = set()  # what could not be read now, which says nothing of it
        self._group: list[Outcome] = []
        self._group_chunks = 0
        # Unchanged files whose ctime an older version of the index did not note.
        self._without_ctime: list[tuple[int, Signature]] = []
        self._written = time.monotonic()
        self._first: EmbedFirst | None = None

    def run(
        self,
        roots: Sequence[Path],
        former: Sequence[Path],
        others: Collection[str] = (),
        first: EmbedFirst | None = None,
    ) -> None:
        """Read, write, and remove what is gone. first: embeds what is written before it is."""
        self._first = first
        self._named = {shown_path(str(root)) for root in roots}
        detail = getattr(self._progress, "detail", None)
        for outcome in read_all(self._changed(roots), self._reading, detail):
            self._take(outcome)
        self._write_group()
        if self._box and self._box.cut:
            return
        # What was indexed under a root and is not there now is gone; what only failed to be read
        # (a folder without permission, say), or was not searched for this time, stays.
        within = Within([*roots, *former], self._walking)
        spared = self._unread | {folder_key(path) for path in others}

        def is_gone(path: str) -> bool:
            return path not in self._seen and within(path) and not is_under(path, spared)

        gone = [file.id for path, file in self._stored.items() if is_gone(path)]
        forgotten = [path for path in self._skipped if is_gone(path)]
        self._report.removed += len(gone)
        for at in range(0, len(gone), COMMIT_FILES):
            with self._store.transaction():
                self._store.remove_documents(gone[at : at + COMMIT_FILES])
        with self._store.transaction():
            self._store.remove_skipped(self._collection, forgotten)
            for file_id, signature in self._without_ctime:
                self._store.touch_document(file_id, signature)
        remove_orphans(self._store)

    def _changed(self, roots: Sequence[Path]) -> Iterator[Task]:
        """The files that changed since they were indexed; the others are counted."""
        own_path = named_path(str(self._store.path))
        own = {f"{own_path}{suffix}" for suffix in ("", "-wal", "-shm", "-journal", "-claims")}
        for file in walk(roots, self._walking, self._walk_skipped):
            path = file.path
            if self._box and self._box.is_over():
                self._box.cut = True
                return
            if path in self._seen or path in own:
                continue
            self._progress.advance()
            old, before = self._stored.get(path), self._skipped.get(path)
            made = old.extractor if old else before.extractor if before else ""
            reading = as_before(self._reading, made)
            version = extractor(path, reading)
            was_secret = before is not None and before.problem.kind == "secret"
            if what := secret(file, self._walking):
                self._seen.add(path)
                if old or not was_secret:  # an earlier run may have indexed it
                    self._take(Outcome(file, Problem("secret", what)))
                else:
                    self._count(Problem("secret", what), path)
                continue
            read_secrets = self._walking.include_secrets
            maker = old.extractor.removesuffix(OF_SECRET * read_secrets) if old else ""
            if old and maker == version and old.signature.matches(file.signature):
                self._seen.add(path)
                self._report.unchanged += 1
                if not old.signature.ctime_ns and file.signature.ctime_ns:
                    self._without_ctime.append((old.id, file.signature))
                continue
            if was_secret and read_secrets:
                before = None
            if before and before.extractor == version and before.signature == file.signature:
                self._seen.add(path)
                self._count(before.problem, path, known=True)
                continue
            if reason := too_large(file, self._walking):
                self._count(Problem("skipped", reason), path)
                continue
            self._seen.add(path)
            if self._box and not self._box.takes(file, reading):
                continue
            same = old.hash if old and old.extractor == version else None
            yield file._replace(known_hash=same, secret=read_secrets, reading=reading)

    def _walk_skipped(self, skipped: Skipped) -> None:
        """Report what can't be read. Report, too, that a working tree is not read, where a user may
        look for it; it is kept as a file that was skipped, so that later runs only count it."""
        if skipped.kind == UNREAD:
            self._unreadable(skipped.path, skipped.reason)
        if skipped.kind != "worktree":
            return
        self._seen.add(skipped.path)
        before = self._skipped.get(skipped.path)
        problem = Problem("skipped", skipped.reason)
        if before and before.problem == problem:
            self._count(problem, skipped.path, known=True)
        else:
            self._take(Outcome(Task(skipped.path, Signature(0, 0)), problem))

    def _take(self, outcome: Outcome) -> None:
        """Queue an outcome for the next transaction, or write it in one of its own."""
        path = outcome.task.path
        if outcome.problem:
            if outcome.problem.kind == "unread":
                self._unreadable(path, outcome.problem.reason)
                return
            self._count(outcome.problem, path)
        elif not outcome.unchanged and not outcome.complete:
            self._write_group()
            self._write_long(outcome)
            return
        self._group.append(outcome)
        self._group_chunks += len(outcome.first.chunks)
        if (
            len(self._group) >= COMMIT_FILES
            or self._group_chunks >= COMMIT_CHUNKS
            or time.monotonic() - self._written > COMMIT_SECONDS
        ):
            self._write_group()

    def _write_long(self, outcome: Outcome) -> None:
        """Write a document whose rest is still being read, which may take minutes: to its end
        first, so that the index is locked for no longer than it takes to write."""
        try:
            with spooled(outcome.rest) as outcome.rest:
                with self._store.transaction():
                    self._write(outcome)
                self._count_written(outcome)
        except (ExtractError, OSError) as error:
            self._take(Outcome(outcome.task, problem_of(error)))

    def _write_group(self) -> None:
        group, self._group, self._group_chunks = self._group, [], 0
        if not group:
            return
        if self._first:
            self._first.prepare(group)
        with self._store.transaction():
            for outcome in group:
                self._write(outcome)
            if self._first:
                self._first.write()
        self._written = time.monotonic()
        for outcome in group:
            self._count_written(outcome)

    def _write(self, outcome: Outcome) -> None:
        task = outcome.task
        old = self._stored.get(task.path)
        version = extractor(task.path, task.reading or self._reading)
        if outcome.problem:
            skipped = SkippedFile(task.path, task.signature, version, outcome.problem)
            self._store.add_skipped(self._collection, skipped)
        elif outcome.unchanged and old:
            self._store.touch_document(old.id, outcome.signature)
        else:
            for first, chunks in _documents(outcome):
                if self._box:
                    chunks = _noted(chunks, self._box.texts)
                self._store.add_document(
                    NewDocument(
                        collection=self._collection,
                        path=task.path,
                        member=first.member,
                        signature=outcome.signature,
                        content_hash=outcome.content_hash,
                        title=first.title,
                        extractor=version + OF_SECRET * outcome.secret,
                        chunks=chunks,
                        fields=first.fields,
                        language=first.language,
                    )
                )
            if outcome.note:
                self._store.add_note(self._collection, task.path, outcome.note)
            if task.path in self._skipped:
                self._store.remove_skipped(self._collection, [task.path])

    def _count_written(self, outcome: Outcome) -> None:
        if outcome.problem:
            return
        if outcome.note:
            self._report.errors.append(FileError(outcome.task.path, outcome.note, partly=True))
        if outcome.unchanged:
            self._report.unchanged += 1
        elif outcome.task.path in self._stored:
            self._report.updated += 1
        else:
            self._report.added += 1

    def _count(self, problem: Problem, path: str, known: bool = False) -> None:
        kind, reason = problem.kind, problem.reason
        if kind in ("failed", "unread"):
            self._report.failed += 1
        else:
            self._report.skipped += 1
        error = FileError(path, reason, known, named=path in self._named)
        if kind == "secret":
            before, was_held = self._skipped.get(path), path in self._stored
            known = before is not None and before.problem.kind == kind and not was_held
            self._report.removed += was_held
            reason = secrets.reason(reason)
            error = FileError(path, reason, known, secret=True, removed=was_held, named=error.named)
        self._report.errors.append(error)

    def _unreadable(self, path: str, reason: str) -> None:
        self._count(Problem("unread", reason), path)
        self._unread.add(folder_key(path))


def look_at(
    store: Store,
    roots: Sequence[Path],
    collection: str,
    box: Box,
    walking: Walking,
    reading: Reading,
    others: Collection[str],
) -> None:
    """As index_paths, as far as a box lets it, and without vectors."""
    update = _Update(store, collection, IndexReport(), Silent(), walking, reading, box)
    update.run(roots, (), others)


def extractor(path: str, reading: Reading) -> str:
    """What a document is made by: a change of it makes the file be read again."""
    return EXTRACTOR + made_by(path, reading)


def _documents(outcome: Outcome) -> Iterator[tuple[Part, Iterator[NewChunk]]]:
    """Of the file itself, then of each file in it: its first part, and the chunks of all its parts,
    to be taken one by one."""
    for _, parts in groupby(outcome.parts(), key=lambda part: part.member):
        first = next(parts)
        yield first, _chunks(chain([first], parts), outcome)  # noqa: B031  (what is left of it)


def _chunks(parts: Iterable[Part], outcome: Outcome) -> Iterator[NewChunk]:
    for part in parts:
        yield from part.chunks
        outcome.note = part.note or outcome.note


def _noted(chunks: Iterator[NewChunk], texts: list[bytes]) -> Iterator[NewChunk]:
    for new in chunks:
        texts.append(new.unique_hash)
        yield new


def remove_orphans(store: Store) -> None:
    """Drop the unique texts without a chunk any more, by short transactions."""
    left = True
    while left:
        with store.transaction():
            left = store.remove_orphans(COMMIT_ORPHANS)
