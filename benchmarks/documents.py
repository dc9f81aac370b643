"""Text extraction from real documents: qrank's words against those of each format's own program.

    python benchmarks/documents.py --folder FOLDER [--files 20] [--only pdf docx]

The documents are the test files of Python source distributions (pip) and Debian's documentation
packages (apt-get download, dpkg-deb), downloaded to FOLDER once. The text by the other programs
(LibreOffice's soffice, pdftotext, w3m, man, detex, msgfmt) is cached there, too. Formats whose
program is not installed are marked "no program"; of their files only skipped ones are counted.
Mail, notebooks and text are read with Python's library.

For each format the report has the number of files, the mean recall of the other program's words,
the share of our words that are two neighbouring words of its run together ("glued"), and the files
that only qrank skipped; then the ten worst files with their missing words.
Goals: recall .99 (PDF .97: hyphens and columns differ), glued .001, none skipped.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import email
import email.policy
import gettext
import hashlib
import html
import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote
from xml.etree import ElementTree

from qrank.errors import QrankError
from qrank.ingest.extract import documents
from qrank.markup import readable
from qrank.markup.visible import searchable

DISTRIBUTIONS = (
    "python-docx docx2python docxtpl docxcompose mammoth python-pptx odfpy docutils oletools "
    "olefile xlrd pyexcel-xls pyexcel-xlsx pyexcel-ods pdfminer.six pikepdf pypdf striprtf rtfde "
    "textract html2text trafilatura markdown mistune mail-parser icalendar bibtexparser pybtex "
    "polib texsoup orgparse nbconvert nbformat pysrt pysubs2 webvtt-py ebooklib"
).split()
PACKAGES = (
    "debian-policy developers-reference debian-reference-en debian-faq git-doc bash-doc "
    "gnuplot-doc apt-doc manpages"
).split()
SUFFIXES = {  # format by suffix
    **{suffix: suffix for suffix in "docx pptx xlsx xlsb xls ods odt odp doc ppt rtf pdf".split()},
    **{suffix: suffix for suffix in "epub html ipynb eml msg ics vcf bib po tex org".split()},
    **{suffix: suffix for suffix in "srt vtt ass md rst txt xlsm docm".split()},
    "htm": "html",
}
MAX_BYTES = 6 << 20
TIMEOUT = 60  # seconds for one file
BATCH = 25  # files that one run of LibreOffice converts
GOAL = {"pdf": 0.97}
# A character of a script without blanks between words, or a run of letters and digits.
_WIDE = "\u0e00-\u0eff\u2e80-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_WIDE}]|[^\W_{_WIDE}]+")
_HYPHEN = re.compile(r"(\w+)[-\u2010\u00ad]\n\s*(\w+)")
_NUMBERING = re.compile(r"^\s*\d+(?:\.\d+)*[.)]?[ \t]", re.MULTILINE)  # of lists: not in the file
_CELL_ERROR = re.compile(r"#(?:N/A|NAME\?|REF!|VALUE!|DIV/0!|NUM!|NULL!)|Err:\d+")
_UNSEEN = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])


@dataclass
class Result:
    """A file's comparison."""

    name: str
    theirs: int | None = None  # the other program's words; None: not installed
    recall: float = 1.0
    missing: list[str] = field(default_factory=list)
    ours: int = 0
    glued: list[str] = field(default_factory=list)
    skipped: str = ""  # why qrank skipped the file


def fetch(folder: Path) -> None:
    """Download and unpack the packages that are missing; failures are printed."""
    for name in DISTRIBUTIONS:
        into = folder / "pip" / name
        if into.is_dir():
            continue
        with tempfile.TemporaryDirectory() as temporary:
            options = f"-m pip download -q --no-deps --no-binary {name} -d {temporary} {name}"
            subprocess.run([sys.executable, *options.split()], check=False, capture_output=True)
            downloads = list(Path(temporary).iterdir())
            if not downloads:
                print(f"not fetched: {name}", file=sys.stderr)
                continue
            into.mkdir(parents=True)
            if downloads[0].suffix == ".zip":
                zipfile.ZipFile(downloads[0]).extractall(into)
            else:
                with tarfile.open(downloads[0]) as archive:
                    archive.extractall(into, filter="data")
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        print("not fetched: Debian's packages (no apt-get, dpkg-deb)", file=sys.stderr)
        return
    for name in PACKAGES:
        into = folder / "deb" / name
        if into.is_dir():
            continue
        with tempfile.TemporaryDirectory() as temporary:
            command = ["apt-get", "download", "-q", name]
            subprocess.run(command, cwd=temporary, check=False, capture_output=True)
            downloads = list(Path(temporary).glob("*.deb"))
            if not downloads:
                print(f"not fetched: {name}", file=sys.stderr)
                continue
            into.mkdir(parents=True)
            subprocess.run(["dpkg-deb", "-x", downloads[0], into], check=True)


def format_of(path: Path) -> str:
    """The format of a downloaded file by its name; empty for none."""
    if "mails" in path.parts and not path.suffix and path.is_file():
        return "msg" if path.read_bytes().startswith(b"\xd0\xcf\x11\xe0") else "mail"
    if re.fullmatch(r".+\.[1-8]\w*\.gz", path.name) and path.parent.name.startswith("man"):
        return "man"
    return SUFFIXES.get(path.suffix[1:].lower(), "")


def choose(folder: Path, most: int) -> dict[str, list[Path]]:
    """At most so many files of each format, spread over all packages that have some."""
    by_format: dict[str, dict[str, list[Path]]] = {}
    seen = set()
    for source in ("pip", "deb"):
        for path in sorted((folder / source).rglob("*")):
            format = format_of(path)
            if not format or path.is_symlink() or not path.is_file():
                continue
            if not 0 < path.stat().st_size <= MAX_BYTES:
                continue
            digest = hashlib.sha256(path.read_bytes()).digest()
            if digest not in seen:
                seen.add(digest)
                package = path.relative_to(folder).parts[1]
                by_format.setdefault(format, {}).setdefault(package, []).append(path)
    chosen = {}
    for format, packages in sorted(by_format.items()):
        share: dict[str, int] = dict.fromkeys(packages, 0)
        while sum(share.values()) < most:
            left = [name for name in packages if share[name] < len(packages[name])]
            if not left:
                break
            for name in left[: most - sum(share.values())]:
                share[name] += 1
        chosen[format] = [
            files[i * len(files) // share[name]]  # spread over the package
            for name, files in packages.items()
            for i in range(share[name])
        ]
    return chosen


def output(*command: object, data: bytes | None = None, **more: str) -> str:
    """A command's output. Raises OSError, subprocess.SubprocessError."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **more}
    run = subprocess.run(
        [str(word) for word in command],
        input=data,
        capture_output=True,
        check=True,
        timeout=TIMEOUT,
        env=environment,
    )
    return run.stdout.decode("utf-8", "replace")


def by_pdftotext(path: Path) -> str:
    return output("pdftotext", "-enc", "UTF-8", path, "-")


def by_w3m(data: bytes) -> str:
    options = "-dump -T text/html -O UTF-8 -cols 10000 -o display_link_number=0"
    declared = re.search(rb"""<(?:meta|\?xml)[^>]+(?:charset|encoding)\s*=""", data[:4096])
    text = output("w3m", *options.split(), *([] if declared else ["-I", "UTF-8"]), data=data)
    return _NUMBERING.sub("", text)


def by_man(path: Path) -> str:
    text = output("man", "-l", "--no-hyphenation", "-P", "cat", path, MANWIDTH="1000")
    lines = re.sub(r".\x08|\x1b\[[\d;]*m", "", text).strip().splitlines()
    return "\n".join(lines[1:-1])  # (without the page's header and footer)


def by_detex(path: Path) -> str:
    return output("detex", "-n", path)


def by_msgfmt(path: Path) -> str:
    """Source and translation of each message, with all plural forms."""
    with tempfile.TemporaryDirectory() as temporary:
        compiled = Path(temporary) / "messages.mo"
        output("msgfmt", "-f", "-o", compiled, path)
        with compiled.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    ids = {key[0] if isinstance(key, tuple) else key for key in catalogue if key}
    texts = [value for key, value in catalogue.items() if key]
    return "\n".join((*(i.split("\4")[-1] for i in ids), *texts))


def by_chapters(path: Path) -> str:
    """The chapters of an EPUB in the order of its spine, each through w3m."""
    with zipfile.ZipFile(path) as book:
        names = [name for name in book.namelist() if name.endswith(".opf")]
        package = ElementTree.fromstring(book.read(names[0]))
        items = {item.get("id"): item.get("href", "") for item in package.findall(".//{*}item")}
        base = names[0].rpartition("/")[0]
        spine = [items[ref.get("idref")] for ref in package.findall(".//{*}itemref")]
        return "\n".join(by_w3m(book.read(f"{base}/{unquote(href)}".lstrip("/"))) for href in spine)


def by_email(path: Path) -> str:
    """The subject and the plain text of a mail, or else its HTML through w3m."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    if body is None:
        return str(message["subject"] or "")
    text = body.get_content()
    if body.get_content_subtype() == "html":
        text = by_w3m(text.encode("utf-8", "replace"))
    return f"{message['subject'] or ''}\n{text}"


def by_json(path: Path) -> str:
    """The sources of a notebook's cells."""
    notebook = json.loads(path.read_bytes())
    cells = notebook.get("cells") or [c for s in notebook["worksheets"] for c in s["cells"]]
    return "\n".join("".join(cell.get("source", cell.get("input", ""))) for cell in cells)


def by_cues(path: Path) -> str:
    """The text of SubRip or WebVTT subtitles, without tags."""
    text = _decoded(path.read_bytes())
    text = re.sub(
        r"^(?:WEBVTT|NOTE|STYLE|REGION)\b[\s\S]*?(?:\n\n|\Z)", "\n", text, flags=re.MULTILINE
    )
    text = re.sub(r"^(?:.+\n)?.*-->.*$", "", text, flags=re.MULTILINE)  # a cue's name and time
    return html.unescape(re.sub(r"<[^<>]+>|\{\\[^{}]*\}", " ", text))


def by_dialogue(path: Path) -> str:
    """The text of SubStation subtitles."""
    lines = _decoded(path.read_bytes()).splitlines()
    dialogue = (line.split(",", 9)[9] for line in lines if line.startswith("Dialogue:"))
    return re.sub(r"\{\\[^{}]*\}|\\[Nnh]", " ", "\n".join(dialogue))


def _decoded(data: bytes) -> str:
    """A text decoded by its byte order mark, else as UTF-8."""
    for encoding in ("utf-32", "utf-16"):  # UTF-32's mark starts with UTF-16's
        marks = (
            getattr(codecs, f"BOM_{encoding.upper().replace('-', '')}_{e}") for e in ("LE", "BE")
        )
        if data.startswith(tuple(marks)):
            return data.decode(encoding)
    return data.decode("utf-8-sig")


def by_itself(path: Path) -> str:
    return path.read_text("utf-8")


READERS: dict[str, tuple[str, Callable[[Path], str]]] = {
    "pdf": ("pdftotext", by_pdftotext),
    "html": ("w3m", lambda path: by_w3m(path.read_bytes())),
    "man": ("man", by_man),
    "tex": ("detex", by_detex),
    "po": ("msgfmt", by_msgfmt),
    "epub": ("w3m", by_chapters),
    "eml": ("python", by_email),
    "mail": ("python", by_email),
    "ipynb": ("python", by_json),
    "srt": ("python", by_cues),
    "vtt": ("python", by_cues),
    "ass": ("python", by_dialogue),
    "md": ("python", by_itself),
    "rst": ("python", by_itself),
    "txt": ("python", by_itself),
}
_SHEET = "csv:Text - txt - csv (StarCalc):9,34,76,1,,0,false,true,false,false,false,-1"
CONVERSIONS = {
    **dict.fromkeys("docx docm odt doc rtf".split(), "txt:Text (encoded):UTF8"),
    **dict.fromkeys("xlsx xlsm xlsb xls ods".split(), _SHEET),
    **dict.fromkeys("pptx odp ppt".split(), "fodp"),
}


def by_paragraphs(path: Path) -> str:
    """The paragraphs of slides and notes of a flat OpenDocument file. Charts are left out: their
    labels are LibreOffice's own."""
    office, text, table = (
        f"{{urn:oasis:names:tc:opendocument:xmlns:{name}:1.0}}"
        for name in ("office", "text", "table")
    )
    paragraphs = []

    def walk(element: ElementTree.Element) -> None:
        if element.tag in (f"{text}p", f"{text}h"):
            paragraphs.append(_all_text(element, text))
        elif element.tag not in (f"{office}chart", f"{table}table-header-columns"):
            for child in element:
                walk(child)

    body = ElementTree.parse(path).getroot().find(f"{office}body")
    if body is not None:
        walk(body)
    return "\n".join(paragraphs)


def _all_text(element: ElementTree.Element, namespace: str) -> str:
    blanks = ("s", "tab", "line-break")
    name = element.tag.removeprefix(namespace)
    if name in blanks or name == "page-number":  # (counted by the program, not in the file)
        return " "
    inner = (_all_text(child, namespace) + (child.tail or "") for child in element)
    return (element.text or "") + "".join(inner)


def convert(paths: list[Path], into: str, folder: Path) -> dict[Path, str]:
    """The texts of files by LibreOffice; one that it does not read is left out."""
    texts = {}
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary, "out")
        copies = []
        for number, path in enumerate(paths):  # numbered: names may be equal
            copies.append(Path(temporary, f"{number:03}{path.suffix}"))
            shutil.copy(path, copies[-1])
        profile = f"-env:UserInstallation=file://{folder.resolve()}/profile"
        command = ["soffice", profile, "--headless", "--convert-to", into, "--outdir", str(out)]
        with contextlib.suppress(subprocess.TimeoutExpired):
            limit = TIMEOUT + 10 * len(paths)
            subprocess.run([*command, *copies], timeout=limit, check=False, capture_output=True)
        for copy, path in zip(copies, paths, strict=True):
            outputs = sorted(out.glob(f"{copy.stem}[.-]*"))
            if into == "fodp" and outputs:
                texts[path] = by_paragraphs(outputs[0])
            elif outputs:
                text = "\n".join(part.read_text("utf-8-sig", "replace") for part in outputs)
                texts[path] = _NUMBERING.sub("", _CELL_ERROR.sub("", text))
    return texts


def their_texts(format: str, paths: list[Path], folder: Path) -> dict[Path, str]:
    """The text of each file by the format's own program, cached in the folder: empty when it fails
    on the file. {} when the program is not installed."""
    cache = folder / "words" / format
    cache.mkdir(parents=True, exist_ok=True)
    keys = {path: cache / hashlib.sha256(path.read_bytes()).hexdigest()[:20] for path in paths}
    new = [path for path in paths if not keys[path].exists()]
    if format in CONVERSIONS and shutil.which("soffice"):
        texts: dict[Path, str] = {}
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            texts |= convert(batch, CONVERSIONS[format], folder)
            for path in batch:  # again alone: another file may have crashed the program
                if path not in texts:
                    texts |= convert([path], CONVERSIONS[format], folder)
        for path in new:
            keys[path].write_text(texts.get(path, ""), "utf-8")
    elif format in READERS and (READERS[format][0] == "python" or shutil.which(READERS[format][0])):
        for path in new:
            try:
                text = READERS[format][1](path)
            except (OSError, subprocess.SubprocessError, ValueError, LookupError) as error:
                print(f"{READERS[format][0]}: {path.name}: {error}", file=sys.stderr)
                text = ""
            keys[path].write_text(text, "utf-8", "replace")
    else:
        return {}
    return {path: keys[path].read_text("utf-8") for path in paths}


def _late(*_: object) -> NoReturn:
    raise TimeoutError(f"not read within {TIMEOUT} seconds")


def _our_texts(path: Path) -> Iterator[str]:
    for document in documents(io.BytesIO(path.read_bytes()), path.name):
        if not document.member:
            yield from (document.title, *map(str, document.fields.values()))
            yield from (document.text[block.start : block.end] for block in document.blocks)


def our_text(path: Path) -> str:
    """The searchable text of a file. Raises QrankError, and TimeoutError after TIMEOUT seconds."""
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(TIMEOUT)
    try:
        return searchable(readable("\n\n".join(_our_texts(path)), path.name))
    finally:
        signal.alarm(0)


def words(text: str) -> list[str]:
    """The words of a text, case-folded."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).translate(_UNSEEN).casefold())


def compare(path: Path, name: str, theirs: str | None) -> Result:
    """Compare qrank's text of a file with another program's."""
    result = Result(name)
    try:
        ours = our_text(path)
    except (QrankError, TimeoutError) as error:
        ours, result.skipped = "", str(error)
    mine = words(ours)
    result.ours = len(mine)
    if theirs is None:
        return result
    vocabulary = set(mine)

    def join(hyphenated: re.Match[str]) -> str:  # joined where qrank joins it, too
        whole = hyphenated[1] + hyphenated[2]
        return whole if vocabulary.issuperset(words(whole)) else hyphenated[0]

    their_words = words(_HYPHEN.sub(join, theirs))
    result.theirs = len(their_words)
    counted = Counter(mine)
    counted.update(a + b for a, b in itertools.pairwise(mine))  # glued by the other program
    missing = Counter(their_words) - counted
    if their_words:
        result.recall = 1 - missing.total() / len(their_words)
    result.missing = [word for word, _ in missing.most_common()]
    pairs = {a + b for a, b in itertools.pairwise(their_words)}
    pairs -= set(their_words)
    # Numbers and short words are often two others together by chance.
    result.glued = [word for word in mine if word in pairs and word.isalpha() and len(word) > 4]
    return result


def report(results: dict[str, list[Result]]) -> None:
    """Print a line per format, then the worst files."""
    print(f"{'format':8}{'files':>6}{'compared':>10}{'recall':>9}{'glued':>9}{'skipped':>9}")
    worst: list[tuple[float, str, Result]] = []
    for format, format_results in results.items():
        compared = [result for result in format_results if result.theirs]
        skipped = [r for r in format_results if not r.ours and (r.theirs or (r.theirs is None))]
        line = f"{format:8}{len(format_results):6}{len(compared):10}"
        if compared:
            recall = sum(result.recall for result in compared) / len(compared)
            ours = sum(result.ours for result in compared) or 1
            glued = sum(len(result.glued) for result in compared) / ours
            missed = recall < GOAL.get(format, 0.99) or glued > 0.001 or skipped
            line += f"{recall:9.4f}{glued:9.5f}{len(skipped):9}{'  missed' if missed else ''}"
        else:
            installed = any(result.theirs is not None for result in format_results)
            line += f"{'read none' if installed else 'no program':>18}{len(skipped):9}"
        print(line)
        worst += [(result.recall, format, result) for result in compared if result.missing]
        for result in skipped:
            print(f"    skipped: {result.name}: {result.skipped}")
        for result in compared:
            if result.glued:
                print(f"    glued: {result.name}: {' '.join(result.glued[:8])}")
    print(f"files: {sum(map(len, results.values()))}; the worst ten:")
    for recall, format, result in sorted(worst, key=lambda item: item[:2])[:10]:
        print(f"  {recall:.3f} {format} {result.name}: {' '.join(result.missing[:25])}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the documents are kept")
    parser.add_argument("--files", type=int, default=20, help="at most, of each format")
    parser.add_argument("--only", nargs="+", default=[], metavar="FORMAT")
    parser.add_argument("--json", type=Path, help="write all results to this file")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    fetch(folder)
    results: dict[str, list[Result]] = {}
    for format, paths in choose(folder, arguments.files).items():
        if arguments.only and format not in arguments.only:
            continue
        theirs = their_texts(format, paths, folder)
        results[format] = [
            compare(path, str(path.relative_to(folder)), theirs.get(path)) for path in paths
        ]
        print(f"{format}: {len(paths)} files", file=sys.stderr)
    report(results)
    if arguments.json:
        rows = {format: [vars(r) for r in each] for format, each in results.items()}
        arguments.json.write_text(json.dumps(rows, ensure_ascii=False, indent=1), "utf-8")


if __name__ == "__main__":
    main()
