"""Looks for inputs that a reader can't take: damaged real files, made structures, long runs.

python tests/fuzz.py [--minutes 60] [--seed 1] [--keep DIR] [--timeout 20] [--inputs N]

Each round makes some files, the seed says which, and has them read as `qrank index` does, in
worker processes where it does. Prints a line for each finding and keeps its input in DIR: an error
that read_all raises, a file that took longer than its time, crashed its reader or took all memory,
a chunk that is blank, out of order or not what lies in the file between its offsets, a round that
does not end.
The exit status is 1 when something was found.
"""

from __future__ import annotations

import argparse
import bz2
import faulthandler
import gzip
import io
import json
import lzma
import random
import resource
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pathological import PIECES, inputs, wrapped

from qrank.analysis.formats import FORMATS
from qrank.ingest.prepare import Outcome
from qrank.ingest.readers import read_all
from qrank.results import Chunk, Signature, Task
from qrank.settings import Reading

ROOT = Path(__file__).parents[1]
SOURCES = (Path(__file__).parent / "files", ROOT / "sample_corpus")
A_ROUND = 40  # files
MAX_SIZE = 5 << 20
AS_IT_IS = (
    "txt",
    "md",
    "rst",
    "tex",
    "org",
    "adoc",
    "log",
    "",
)  # suffixes of text whose chunks are bytes of the file
BAD = ("took longer", "its parser crashed", "its parser exited", "needs too much memory")
SUFFIXES = ["", "unknown", *(suffix for format in FORMATS for suffix in format.suffixes.split())]


class Made(NamedTuple):
    """A file that was made: what of, its suffix and its content."""

    how: str
    suffix: str
    data: bytes


class Fuzz:
    """Makes files, has them read, and says what is wrong with what was read."""

    def __init__(self, seed: int, timeout: float, keep: Path | None) -> None:
        self.random = random.Random(seed)
        self.reading = Reading(timeout=timeout)
        self.reading_long = Reading(timeout=3 * timeout)
        self.keep = keep
        self.files = self.findings = 0
        self.sources = [
            (path.name, "".join(path.suffixes).removeprefix("."), path.read_bytes())
            for folder in SOURCES
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.stat().st_size <= MAX_SIZE
        ]

    def round(self, count: int = A_ROUND) -> None:
        """Make and read some files."""
        made = [self.made() for _ in range(count)]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            tasks = []
            for number, each in enumerate(made):
                path = folder / f"{number:03}{'.' * bool(each.suffix)}{each.suffix}"
                path.write_bytes(each.data)
                tasks.append(Task(str(path), Signature.of(path.stat())))
            faulthandler.dump_traceback_later(60 + 3 * self.reading.timeout * count, exit=True)
            done = 0
            try:
                for done, outcome in enumerate(read_all(tasks, self.reading), 1):
                    for finding in found_wrong(outcome, made[done - 1]):
                        if "took longer" not in finding or self.is_slow(outcome.task):
                            self.report(finding, made[done - 1])
            except Exception:
                self.report(
                    f"read_all raised\n{traceback.format_exc()}", made[min(done, count - 1)]
                )
            finally:
                faulthandler.cancel_dump_traceback_later()
        self.files += count

    def is_slow(self, task: Task) -> bool:
        """Whether a file takes more processor time than it may; a worker is ended by the clock,
        too, and on a busy machine too soon."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        found: list[str] = []
        for outcome in read_all([task], self.reading_long):
            found += found_wrong(outcome, Made("", "?", b""))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return used > self.reading.timeout or any(each.startswith(BAD) for each in found)

    def report(self, finding: str, made: Made) -> None:
        self.findings += 1
        place = ""
        if self.keep:
            self.keep.mkdir(parents=True, exist_ok=True)
            path = self.keep / f"{self.findings:04}{'.' * bool(made.suffix)}{made.suffix}"
            path.write_bytes(made.data)
            place = f" -> {path}"
        print(f"FOUND .{made.suffix} {made.how}: {finding}{place}", flush=True)

    def made(self) -> Made:
        """A file of some kind."""
        pick: Sequence[Callable[[], Made]] = (
            *(self.damaged,) * 5, *(self.joined,) * 3, self.grammar, self.run_of_one, self.packed,
        )  # fmt: skip
        return self.random.choice(pick)()

    def size(self) -> int:
        """Most are small, a few of some MB."""
        return min(MAX_SIZE, int(10 ** self.random.uniform(1, 6.7)))

    def damaged(self) -> Made:
        """A damaged copy of a real file, at times under another suffix."""
        name, suffix, data = self.random.choice(self.sources)
        if self.random.random() < 0.1:
            suffix = self.random.choice(SUFFIXES)
        if zipfile.is_zipfile(io.BytesIO(data)) and self.random.random() < 0.7:
            return Made(f"member of {name}", suffix, self.member_damaged(data))
        return Made(f"damaged {name}", suffix, self.mutated(data))

    def member_damaged(self, data: bytes) -> bytes:
        """A zip file of which one member is damaged inside."""
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", 8) as new:
            names = old.namelist()
            chosen = self.random.choice(names)
            for name in names:
                content = old.read(name)
                new.writestr(name, self.mutated(content) if name == chosen else content)
        return out.getvalue()

    def mutated(self, data: bytes) -> bytes:
        """Bytes flipped, stretches cut out, doubled, repeated, moved or overwritten."""
        made = bytearray(data)
        chance = self.random
        for _ in range(chance.randint(1, 10)):
            at = chance.randrange(len(made) + 1)
            length = min(int(10 ** chance.uniform(0, 4)), len(made) - at)
            kind = chance.randrange(8)
            if kind == 0 and at < len(made):
                made[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                del made[at : at + length]
            elif kind == 2:
                made[at:at] = made[at : at + length]
            elif kind == 3:
                made[at : at + length] = chance.randbytes(length)
            elif kind == 4:
                made[at:at] = chance.choice([*PIECES.values()]).encode("utf-8", "surrogateescape")
            elif kind == 5 and length and len(made) < MAX_SIZE:
                made[at:at] = bytes(made[at : at + length]) * min(
                    chance.randint(2, 5000), MAX_SIZE // length
                )
            elif kind == 6:
                other = chance.choice(self.sources)[2]
                start = chance.randrange(len(other) + 1)
                made[at:at] = other[start : start + length]
            elif kind == 7 and chance.random() < 0.2:
                del made[at:]
        return bytes(made[:MAX_SIZE])

    def joined(self) -> Made:
        """Telling pieces in any order, some of them often."""
        size = self.size()
        pieces = self.random.sample([*PIECES.values()], self.random.randint(1, 8))
        out: list[str] = []
        held = 0
        while held < size:
            piece = self.random.choice(pieces) * self.random.choice((1, 1, 1, 2, 10, 1000))
            out.append(piece)
            held += len(piece)
        text = "".join(out)
        if self.random.random() < 0.1:
            data = text.encode(
                self.random.choice(("utf-16", "utf-16-le", "cp1252", "koi8-r")), "replace"
            )
        else:
            data = text.encode("utf-8", "surrogateescape")
        return self.in_a_file("joined", data[:MAX_SIZE])

    def grammar(self) -> Made:
        """Nested brackets, tags and the like, which open and close by chance."""
        pairs = [
            ("[", "]"),
            ("{", "}"),
            ("(", ")"),
            ("<div>", "</div>"),
            ("<b>", "</p>"),
            ('"', '"'),
        ]
        pairs += [("<table><tr><td>", "</td></tr>"), ("> ", "\n"), ("- ", "\n  "), ("**", "**")]
        pairs += [
            ("[a](", ")"),
            ("/*", "*/"),
            ("function a() {", "}"),
            ('{"text":', "},"),
            ("\n", " "),
        ]
        chosen = self.random.sample(pairs, self.random.randint(1, 4))
        opens, depth, held, out = self.random.uniform(0.4, 0.9), [""], 0, []
        size = self.size()
        while held < size:
            if len(depth) > 1 and self.random.random() > opens:
                piece = depth.pop()
            else:
                piece, end = self.random.choice(chosen)
                depth.append(end)
            out.append(piece + "a" * (self.random.random() < 0.3))
            held += len(out[-1])
        return self.in_a_file("nested", "".join(out).encode())

    def run_of_one(self) -> Made:
        """One of the inputs that tests/test_pathological.py tries, of any size."""
        each = self.random.choice([*inputs(self.size())])
        return self.in_a_file(each.name, each.data)

    def packed(self) -> Made:
        """Any other one compressed."""
        made = self.random.choice((self.damaged, self.joined, self.run_of_one))()
        pack, suffix = self.random.choice(
            ((gzip.compress, "gz"), (bz2.compress, "bz2"), (lzma.compress, "xz"))
        )
        data = pack(made.data)
        if self.random.random() < 0.3:
            data = self.mutated(data)
        return Made(f"{made.how} in {suffix}", f"{made.suffix}.{suffix}", data)

    def in_a_file(self, how: str, data: bytes) -> Made:
        """Content as it is under any suffix, or as the text of a file that holds it."""
        suffix = self.random.choice(SUFFIXES)
        return Made(how, suffix, wrapped(suffix, data) if self.random.random() < 0.5 else data)


def found_wrong(outcome: Outcome, made: Made) -> Iterator[str]:
    """What is wrong with what came of a file."""
    if outcome.problem:
        if outcome.problem.reason.startswith(BAD) or "\n" in outcome.problem.reason:
            yield outcome.problem.reason
        return
    chunks = [new.chunk for new in outcome.first.chunks]
    try:
        for part in outcome.rest:
            chunks += [new.chunk for new in part.chunks]
    except Exception as error:
        if str(error).startswith(BAD):
            yield str(error)
        elif type(error).__name__ not in ("ExtractError", "OSError"):
            yield f"its rest raised {error!r}"
        return
    json.loads(outcome.first.fields or "{}")
    yield from _wrong_chunks(chunks)
    if made.suffix in AS_IT_IS:
        yield from _wrong_places(chunks, made.data)


def _wrong_chunks(chunks: Sequence[Chunk]) -> Iterator[str]:
    end, line = 0, 0
    for number, chunk in enumerate(chunks):
        if not chunk.text.strip():
            yield f"chunk {number} is blank"
        elif chunk.start_byte < end or chunk.end_byte <= chunk.start_byte:
            yield f"chunk {number} is at {chunk.start_byte}-{chunk.end_byte}, after {end}"
        elif chunk.start_line > chunk.end_line:
            yield f"chunk {number} is on lines {chunk.start_line}-{chunk.end_line}, after {line}"
        else:
            end, line = chunk.end_byte, chunk.end_line
            continue
        return


def _wrong_places(chunks: Sequence[Chunk], data: bytes) -> Iterator[str]:
    """Of plain text in UTF-8: where chunks are not what lies there."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return
    if b"\0" in data or b"\x1b$" in data or data.startswith(b"%PDF"):
        return
    for number, chunk in enumerate(chunks):
        there = data[chunk.start_byte : chunk.end_byte].decode("utf-8", "replace")
        if plain(there) != plain(chunk.text):
            yield f"chunk {number} is not what lies at {chunk.start_byte}-{chunk.end_byte}"
            return


def plain(text: str) -> str:
    """Text with line ends as a chunk may have them."""
    return text.replace("\r\n", " \n").replace("\r", "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, help="folder for the inputs of findings")
    parser.add_argument(
        "--timeout", type=float, default=20, help="seconds of processor time a file"
    )
    parser.add_argument("--inputs", type=int, help="stop after so many")
    said = parser.parse_args()
    print(f"seed {said.seed}", flush=True)
    fuzz = Fuzz(said.seed, said.timeout, said.keep)
    started = told = time.monotonic()
    while time.monotonic() - started < 60 * said.minutes:
        left = A_ROUND if said.inputs is None else min(A_ROUND, said.inputs - fuzz.files)
        if left <= 0:
            break
        fuzz.round(left)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print(
                f"{int(told - started)} s: {fuzz.files} files, {fuzz.findings} findings", flush=True
            )
    print(f"seed {said.seed}: {fuzz.files} files, {fuzz.findings} findings", flush=True)
    sys.exit(1 if fuzz.findings else 0)


if __name__ == "__main__":
    main()
