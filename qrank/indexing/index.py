"""Indexing: walk, extract, split into chunks, store, then embed texts without a vector."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
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
from qrank.ingest.prepare import Outcome, Part, needs_worker, options_key, with_earlier_options
from qrank.ingest.problems import problem_of
from qrank.ingest.readers import UNISOLATED_BYTES, read_all
from qrank.ingest.spool import spooled
from qrank.ingest.walk import UNREAD, Skipped, Within, secret, too_large, walk
from qrank.names import absolute, folder_key, is_under, named_path, on_disk, shown_path
from qrank.progress import Progress, Silent
from qrank.reports import FileError, IndexReport
from qrank.results import NewChunk, Signature, Task
from qrank.settings import READ_ALL, WALK_ALL, Placement, Reading, Walking
from qrank.store.interface import NewDocument, SkippedFile, Store, StoredFile

_VERSIONED = (extract, chunking, text, chunk_text, secrets)
EXTRACTOR = ".".join(str(module.VERSION) for module in _VERSIONED)
OF_SECRET = ".secret"  # suffix of the extractor of a file that was read although it has secrets
# A transaction is committed when one of these is reached: larger ones are cheaper per file, but
# their files can be searched later.
COMMIT_SECONDS, COMMIT_FILES, COMMIT_CHUNKS = 2.0, 512, 2048
COMMIT_ORPHANS = 2048
LOOKUP_FILES = 1000  # files per lookup in the index


def existing(paths: Iterable[Path], walking: Walking = WALK_ALL) -> list[Path]:
    """Paths in the form in which they are indexed, without duplicates: absolute, links resolved.

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
    """The unresolved form of those paths that are links or below one, which an older version
    stored."""
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
    """Update a collection from the files below roots (see `existing`); without a model, nothing is
    embedded. former: paths that an older version stored for roots, see `links`. others: paths below
    roots from which nothing is removed. Files that can't be read are listed in the report.

    Raises InputError, IndexFileError, ModelError.
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


class TimeBox:
    """Limits of a refresh before a search: the time, and only plain text that is read without a
    worker, up to UNISOLATED_BYTES bytes in all. Counts the files that it leaves unread."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._bytes = 0
        self.truncated = False  # whether some folders were not checked
        self.unread = 0  # changed files that were not read
        self.texts: list[bytes] = []  # hashes of the unique texts of files that were read

    @property
    def left(self) -> float:
        """Seconds until the time is up."""
        return self._end - time.monotonic()

    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.left < 0

    def takes(self, task: Task, reading: Reading) -> bool:
        """Whether a changed file may be read; counts it when not."""
        size = task.signature.size
        is_small = self._bytes + size <= UNISOLATED_BYTES
        if not is_small or self.is_over() or needs_worker(task.path, reading):
            self.unread += 1
            return False
        self._bytes += size
        return True


class _Update:
    """One run over the files of a collection, which reads and stores changed files."""

    def __init__(
        self,
        store: Store,
        collection: str,
        report: IndexReport,
        progress: Progress,
        walking: Walking,
        reading: Reading,
        box: TimeBox | None = None,
    ) -> None:
        self._store, self._collection, self._box = store, collection, box
        self._report, self._progress = report, progress
        self._walking, self._reading = walking, reading
        # Index entries of the files that are being compared or read, by path.
        self._stored: dict[str, StoredFile] = {}
        self._skipped: dict[str, SkippedFile] = {}
        self._named: set[str] = set()  # paths the user gave, whose errors are always shown
        # Hashes (less memory than paths) of the paths on disk that are stored or skipped.
        self._seen: set[int] = set()
        self._unread: set[str] = set()  # unreadable paths, below which nothing is removed
        self._group: list[Outcome] = []
        self._group_chunks = 0
        # Unchanged files without a stored ctime, from an older version of the index.
        self._lacking_ctime: list[tuple[int, Signature]] = []
        self._written = time.monotonic()
        self._first: EmbedFirst | None = None

    def run(
        self,
        roots: Sequence[Path],
        former: Sequence[Path],
        others: Collection[str] = (),
        first: EmbedFirst | None = None,
    ) -> None:
        """Store changed files, and remove documents whose file is gone. first: embeds texts before
        they are stored."""
        self._first = first
        self._named = {shown_path(str(root)) for root in roots}
        detail = getattr(self._progress, "detail", None)
        for outcome in read_all(self._changed(roots), self._reading, detail):
            self._take(outcome)
        self._write_group()
        if self._box and self._box.truncated:
            return
        # Documents below a root are removed if their file was not found, except below paths that
        # could not be read (a folder without permission), or were not walked in this run.
        within = Within([*roots, *former], self._walking)
        excluded = self._unread | {folder_key(path) for path in others}

        def is_gone(path: str) -> bool:
            return hash(path) not in self._seen and within(path) and not is_under(path, excluded)

        files = self._store.files(self._collection)
        removed_ids = (file.id for file in files if is_gone(file.path))
        while ids := list(islice(removed_ids, COMMIT_FILES)):
            self._report.removed += len(ids)
            with self._store.transaction():
                self._store.remove_documents(ids)
        skipped = self._store.skipped_files(self._collection)
        removed_paths = (file.path for file in skipped if is_gone(file.path))
        while paths := list(islice(removed_paths, COMMIT_FILES)):
            with self._store.transaction():
                self._store.remove_skipped(self._collection, paths)
        if self._lacking_ctime:
            with self._store.transaction():
                for file_id, signature in self._lacking_ctime:
                    self._store.touch_document(file_id, signature)
        remove_orphans(self._store)

    def _changed(self, roots: Sequence[Path]) -> Iterator[Task]:
        """Yield the files that changed since they were indexed; count the others."""
        own_path = named_path(str(self._store.path))
        own = {f"{own_path}{suffix}" for suffix in ("", "-wal", "-shm", "-journal", "-claims")}
        files = walk(roots, self._walking, self._walk_skipped)
        while group := list(islice(files, LOOKUP_FILES)):
            self._look_up([file.path for file in group])
            for file in group:
                if self._box and self._box.is_over():
                    self._box.truncated = True
                    return
                if hash(file.path) in self._seen or file.path in own:
                    continue
                self._progress.advance()
                step = self._next_step(file)
                if isinstance(step, Task):
                    yield step
                elif step:
                    self._take(step)
                else:
                    self._forget(file.path)

    def _look_up(self, paths: Sequence[str]) -> None:
        """Read the index entries of files."""
        self._stored.update((f.path, f) for f in self._store.files(self._collection, paths))
        skipped = self._store.skipped_files(self._collection, paths)
        self._skipped.update((f.path, f) for f in skipped)

    def _forget(self, path: str) -> None:
        self._stored.pop(path, None)
        self._skipped.pop(path, None)

    def _next_step(self, file: Task) -> Task | Outcome | None:
        """The task to read a file, or an outcome to write without reading it; None if the file was
        only counted."""
        path = file.path
        old, before = self._stored.get(path), self._skipped.get(path)
        last_extractor = old.extractor if old else before.extractor if before else ""
        reading = with_earlier_options(self._reading, last_extractor)
        version = extractor(path, reading)
        was_secret = before is not None and before.problem.kind == "secret"
        if kind := secret(file, self._walking):
            self._seen.add(hash(path))
            if old or not was_secret:  # an earlier run may have indexed it
                return Outcome(file, Problem("secret", kind))
            self._count(Problem("secret", kind), path)
            return None
        read_secrets = self._walking.include_secrets
        old_version = old.extractor.removesuffix(OF_SECRET * read_secrets) if old else ""
        if old and old_version == version and old.signature.matches(file.signature):
            self._seen.add(hash(path))
            self._report.unchanged += 1
            if not old.signature.ctime_ns and file.signature.ctime_ns:
                self._lacking_ctime.append((old.id, file.signature))
            return None
        if was_secret and read_secrets:
            before = None
        if before and before.extractor == version and before.signature == file.signature:
            self._seen.add(hash(path))
            self._count(before.problem, path, known=True)
            return None
        if reason := too_large(file, self._walking):
            self._count(Problem("skipped", reason), path)
            return None
        self._seen.add(hash(path))
        if self._box and not self._box.takes(file, reading):
            return None
        same = old.hash if old and old.extractor == version else None
        return file._replace(known_hash=same, secret=read_secrets, reading=reading)

    def _walk_skipped(self, skipped: Skipped) -> None:
        """Report unreadable files and folders, and skipped working trees of git. The latter are
        stored as skipped files, so that later runs only count them."""
        if skipped.kind == UNREAD:
            self._unreadable(skipped.path, skipped.reason)
        if skipped.kind != "worktree":
            return
        self._seen.add(hash(skipped.path))
        self._look_up([skipped.path])
        before = self._skipped.get(skipped.path)
        problem = Problem("skipped", skipped.reason)
        if before and before.problem == problem:
            self._count(problem, skipped.path, known=True)
            self._forget(skipped.path)
        else:
            self._take(Outcome(Task(skipped.path, Signature(0, 0)), problem))

    def _take(self, outcome: Outcome) -> None:
        """Queue an outcome for the next transaction, or write it in a transaction of its own."""
        path = outcome.task.path
        if outcome.problem:
            if outcome.problem.kind == "unread":
                self._unreadable(path, outcome.problem.reason)
                self._forget(path)
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
        """Write a document that is still being read, which may take minutes. It is read to a
        temporary file first, so that the index is only locked while writing."""
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
                    chunks = _with_hashes(chunks, self._box.texts)
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
        path = outcome.task.path
        if outcome.note and not outcome.problem:
            self._report.errors.append(FileError(path, outcome.note, partly=True))
        if outcome.unchanged:
            self._report.unchanged += 1
        elif not outcome.problem and path in self._stored:
            self._report.updated += 1
        elif not outcome.problem:
            self._report.added += 1
        self._forget(path)

    def _count(self, problem: Problem, path: str, known: bool = False) -> None:
        kind, reason = problem.kind, problem.reason
        if kind in ("failed", "unread"):
            self._report.failed += 1
        else:
            self._report.skipped += 1
        error = FileError(path, reason, known, named=path in self._named)
        if kind == "secret":
            before, was_stored = self._skipped.get(path), path in self._stored
            known = before is not None and before.problem.kind == kind and not was_stored
            self._report.removed += was_stored
            error = FileError(
                path,
                secrets.reason(reason),
                known,
                secret=True,
                removed=was_stored,
                named=error.named,
            )
        self._report.errors.append(error)

    def _unreadable(self, path: str, reason: str) -> None:
        self._count(Problem("unread", reason), path)
        self._unread.add(folder_key(path))


def index_in_time(
    store: Store,
    roots: Sequence[Path],
    collection: str,
    box: TimeBox,
    walking: Walking,
    reading: Reading,
    others: Collection[str],
) -> None:
    """As index_paths, within the limits of box, and without embedding."""
    update = _Update(store, collection, IndexReport(), Silent(), walking, reading, box)
    update.run(roots, (), others)


def extractor(path: str, reading: Reading) -> str:
    """The versions of the code, and the options, that a file is extracted with; when they change,
    the file is read again."""
    return EXTRACTOR + options_key(path, reading)


def _documents(outcome: Outcome) -> Iterator[tuple[Part, Iterator[NewChunk]]]:
    """For the file itself, then for each member: (the first part, an iterator over the chunks of
    all its parts). Each iterator must be consumed before the next."""
    for _, parts in groupby(outcome.parts(), key=lambda part: part.member):
        first = next(parts)
        yield first, _chunks(chain([first], parts), outcome)  # noqa: B031  (the rest of parts)


def _chunks(parts: Iterable[Part], outcome: Outcome) -> Iterator[NewChunk]:
    for part in parts:
        yield from part.chunks
        outcome.note = part.note or outcome.note


def _with_hashes(chunks: Iterator[NewChunk], texts: list[bytes]) -> Iterator[NewChunk]:
    """Yield chunks, and append their hashes to texts."""
    for new in chunks:
        texts.append(new.unique_hash)
        yield new


def remove_orphans(store: Store) -> None:
    """Remove the unique texts without a chunk, in short transactions."""
    may_be_more = True
    while may_be_more:
        with store.transaction():
            may_be_more = store.remove_orphans(COMMIT_ORPHANS)
