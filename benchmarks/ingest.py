"""Indexing without models: time against a plain FTS5 insert, memory, an unchanged tree, PDF.

python benchmarks/ingest.py [--files 5000] [--rounds 3]

Generates its data in a temporary folder: text and Markdown files of 8.6 kB with words by Zipf's
law, and PDFs of 60 pages of plain text. Prints one JSON object; only its ratios can be compared
between machines.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compiled import keep_compiled

COMMAND = Path(sys.executable).parent / "qrank"
BYTES = 8_600


def vocabulary(random_: random.Random) -> tuple[list[str], list[float]]:
    """40,000 words, and their weights by Zipf's law."""
    letters, weights = "etaoinshrdlucmfwypvbgkjqxz", range(26, 0, -1)
    words = [
        "".join(random_.choices(letters, weights, k=max(2, int(random_.gauss(5, 2.2)))))
        for _ in range(40_000)
    ]
    return words, [1 / (rank + 3) for rank in range(len(words))]


def make_tree(root: Path, files: int) -> None:
    """Write files: half Markdown with headings and lists, half plain paragraphs."""
    random_ = random.Random(1)
    words, weights = vocabulary(random_)
    pool = random_.choices(words, weights, k=2_000_000)

    def sentence() -> str:
        length = random_.randint(6, 22)
        at = random_.randrange(len(pool) - length)
        return " ".join(pool[at : at + length]).capitalize() + "."

    for i in range(files):
        folder = root / f"{i % 50:02}"
        folder.mkdir(parents=True, exist_ok=True)
        pieces, size = [], 0
        while size < BYTES:
            text = " ".join(sentence() for _ in range(random_.randint(2, 6)))
            if i % 2 and random_.random() < 0.25:
                text = f"{'#' * random_.randint(1, 3)} {sentence()[:-1]}"
            elif i % 2 and random_.random() < 0.15:
                text = "\n".join(f"- {sentence()}" for _ in range(4))
            pieces.append(text)
            size += len(text) + 2
        (folder / f"{i}.{'md' if i % 2 else 'txt'}").write_text("\n\n".join(pieces) + "\n", "utf-8")


def timed(*words: object) -> tuple[float, float]:
    """(seconds, peak MB of the largest process) of a run of qrank."""
    script = (
        "import resource, subprocess, sys, time\n"
        "started = time.perf_counter()\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(time.perf_counter() - started, "
        "resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, COMMAND, *map(str, words)],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, megabytes = run.stdout.split()
    return float(seconds), float(megabytes)


def plain_insert(db: Path, into: Path) -> float:
    """Seconds to insert the texts of an index's chunks into a new FTS5 table by executemany."""
    with sqlite3.connect(db) as index:
        texts = index.execute("SELECT text FROM chunk ORDER BY id").fetchall()
    started = time.perf_counter()
    plain = sqlite3.connect(into)
    plain.execute("CREATE VIRTUAL TABLE plain USING fts5(text)")
    plain.executemany("INSERT INTO plain VALUES (?)", texts)
    plain.commit()
    plain.close()
    return time.perf_counter() - started


def make_pdf(path: Path, pages: int, pool: list[str], random_: random.Random) -> None:
    """Write a minimal PDF with text only (file structure: ISO 32000-1, 7.5)."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b""]
    objects.append(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
    kids = []
    for _ in range(pages):
        lines = (" ".join(random_.choices(pool, k=12)) for _ in range(50))
        text = "".join(f"({line})' " for line in lines)
        stream = f"BT /F 9 Tf 40 800 Td 14 TL {text}ET".encode()
        objects.append(b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream))
        kids.append(len(objects) + 1)
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R"
            b"/Resources<</Font<</F 3 0 R>>>>>>" % len(objects)
        )
    listed = b" ".join(b"%d 0 R" % kid for kid in kids)
    objects[1] = b"<</Type/Pages/Count %d/Kids[%b]>>" % (pages, listed)
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj%b\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    path.write_bytes(out)


def pdf_alone(path: str) -> int:
    """Extract the text of all pages with pypdfium2 alone; the number of characters."""
    import pypdfium2

    pdf = pypdfium2.PdfDocument(path)
    try:
        return sum(len(page.get_textpage().get_text_bounded()) for page in pdf)
    finally:
        pdf.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    report: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        keep_compiled(work)
        make_tree(work / "tree", options.files)
        ratios, peaks = [], []
        for number in range(options.rounds):
            db = work / f"{number}.db"
            seconds, peak = timed("index", work / "tree", "--no-embed", "--db", db)
            plain = plain_insert(db, work / f"{number}.plain.db")
            ratios.append(seconds / plain)
            peaks.append(peak)
            print(f"index {seconds:.2f} s, plain insert {plain:.2f} s", file=sys.stderr)
        report["index_to_plain_insert"] = round(statistics.median(ratios), 2)
        report["peak_mb_of_one_process"] = round(max(peaks))

        many = work / "many"
        for i in range(10_000):
            path = many / f"{i % 100:02}" / f"{i}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# Note {i}\n\nAbout {i}.\n", "utf-8")
        (many / ".gitignore").write_text("*.log\nbuild/\n/dist\n*.tmp\n", "utf-8")
        timed("index", many, "--no-embed", "--db", work / "many.db")
        again = [
            timed("index", many, "--no-embed", "--db", work / "many.db")[0]
            for _ in range(options.rounds)
        ]
        report["nothing_to_do_10000_files_seconds"] = round(statistics.median(again), 2)

        pdfs = work / "pdf"
        pdfs.mkdir()
        words, weights = vocabulary(random.Random(1))
        pool = random.Random(1).choices(words, weights, k=500_000)
        for i in range(128):
            make_pdf(pdfs / f"{i}.pdf", 60, pool, random.Random(i))
        shares = []
        for number in range(options.rounds):
            seconds, _ = timed("index", pdfs, "--no-embed", "--db", work / f"pdf{number}.db")
            started = time.perf_counter()
            with multiprocessing.Pool(2) as both:
                both.map(pdf_alone, map(str, sorted(pdfs.iterdir())), chunksize=1)
            alone = time.perf_counter() - started
            shares.append(alone / seconds)
            print(f"PDF {seconds:.2f} s, the library alone {alone:.2f} s", file=sys.stderr)
        report["pdf_pages_to_library_alone"] = round(statistics.median(shares), 2)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
