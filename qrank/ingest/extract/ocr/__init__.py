"""OCR of pictures with --ocr, by the program tesseract, else by the models of the extra `ocr`.
Results are cached by the picture's content in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import BinaryIO

from qrank.errors import ExtractError, InputError, NoTextError
from qrank.files import user_folder
from qrank.ingest import limits
from qrank.ingest.extract.building import Builder
from qrank.results import Document
from qrank.settings import Reading

DPI = 200  # at which a page is rendered
MAX_PIXELS = 40_000_000  # of a rendered page
MAX_PICTURE = 64 << 20  # bytes of a file
PAGES = "ocr_pages"  # the field of a document with the numbers of the pages read by OCR
_LANGUAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\+[A-Za-z][A-Za-z0-9_]*)*")
# The languages that the extra's models have all letters of, by their list of characters.
_OF_MODELS = frozenset(
    "cat ces chi_sim chi_tra dan deu eng est fin fra hrv hun isl ita jpn lat lav lit nld nor pol "
    "por ron slk slv spa swe tur".split()
)
_HELP_SECONDS = 30


def checked(language: str) -> str:
    """The same languages, in tesseract's form ("eng", "deu+fra"). Raises InputError when no OCR is
    installed, or it does not have one of them."""
    program = which("tesseract")
    if not program and not _has_models():
        raise InputError(
            "--ocr needs the program tesseract, which is not on PATH",
            hint="install it (apt install tesseract-ocr, brew install tesseract, …), or models"
            " for Latin script, Chinese and Japanese: pip install 'qrank[ocr]'",
        )
    if not _LANGUAGE.fullmatch(language):
        raise InputError(f"--ocr-language takes names like eng or deu+fra, not {language!r}")
    if not program:
        for name in language.split("+"):
            if name not in _OF_MODELS:
                raise InputError(
                    f"the models of the extra ocr do not have the language {name}",
                    hint="install the program tesseract with that language",
                )
        return language
    installed = {line.strip() for line in _output_lines(program, "--list-langs")}
    for name in language.split("+"):
        if name not in installed:
            languages = sorted(
                name for name in installed if _LANGUAGE.fullmatch(name) and name != "osd"
            )
            raise InputError(
                f"tesseract does not have the language {name}",
                hint=f"it has {', '.join(languages) or 'none'}; others are packages of their own",
            )
    return language


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the text of a picture; all pages of a TIFF are one text. Raises ExtractError,
    NoTextError."""
    data = file.read(MAX_PICTURE + 1)
    if len(data) > MAX_PICTURE:
        raise ExtractError(f"a picture of more than {MAX_PICTURE >> 20} MiB")
    text = read(data, reading)
    if not text.strip():
        raise NoTextError("a picture in which no text was found")
    builder = Builder()
    builder.page(1)
    for paragraph in text.split("\n\n"):
        builder.paragraph(paragraph)
    yield builder.document(fields={PAGES: [1]})


def read(picture: bytes, reading: Reading, *, dpi: int = 0) -> str:
    """The text of a picture in a format that tesseract reads; dpi: 0 when it is in the picture.

    Raises ExtractError when OCR fails, or takes longer than reading.timeout.
    """
    program = which("tesseract")
    if program:
        settings = f"{_version(program)} {reading.ocr} {dpi}\0".encode()
    elif _has_models():
        settings = f"{_models_version()}\0".encode()
    else:
        raise ExtractError("OCR needs the program tesseract, or the extra ocr")
    key = hashlib.blake2b(settings + picture, digest_size=16).hexdigest()
    cached = _folder() / key[:2] / key
    with suppress(OSError, UnicodeDecodeError):
        return cached.read_text("utf-8")
    text = _read(_command(program, reading, dpi), picture, reading)
    with suppress(OSError):
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cached.parent, delete=False) as file:
            file.write(text.encode("utf-8"))
        os.replace(file.name, cached)  # noqa: PTH105
    return text


def _command(program: str | None, reading: Reading, dpi: int) -> list[str]:
    """The command that reads a picture on stdin, and prints its text."""
    if not program:
        return [sys.executable, "-P", "-m", "qrank.ingest.extract.ocr.rapid"]
    command = [program, "stdin", "stdout", "-l", reading.ocr]
    command += ["--dpi", str(dpi)] if dpi else []
    # One thread per page: workers read pages in parallel, and more threads were slower.
    return ["env", "OMP_THREAD_LIMIT=1", *command] if os.name == "posix" else command


def _read(command: list[str], picture: bytes, reading: Reading) -> str:
    try:
        with limits.original_limits():  # the models need more memory than a worker has
            run = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        try:
            out, errors = run.communicate(picture, reading.timeout)
        except BaseException:
            run.kill()
            run.wait()
            raise
    except subprocess.TimeoutExpired as error:
        raise ExtractError(f"OCR of a page took longer than {reading.timeout:g} s") from error
    except OSError as error:
        raise ExtractError(f"can't run {command[0]}: {error.strerror}") from error
    if run.returncode:
        lines = errors.decode("utf-8", "replace").strip().split("\n")
        raise ExtractError(f"OCR failed: {lines[-1] or run.returncode}")
    return out.decode("utf-8", "replace").replace("\f", "").strip()


def _has_models() -> bool:
    """Whether the extra `ocr` is installed."""
    return all(find_spec(name) for name in ("rapidocr", "onnxruntime"))


@cache
def _models_version() -> str:
    return f"rapidocr {version('rapidocr')}"


@cache
def _version(program: str) -> str:
    return _output_lines(program, "--version")[0].strip()


def _output_lines(program: str, option: str) -> list[str]:
    """The output of tesseract with an option, from stdout and stderr (versions differ)."""
    run = subprocess.run(
        [program, option],
        capture_output=True,
        timeout=_HELP_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return (run.stdout + run.stderr).decode("utf-8", "replace").split("\n")


@cache
def _folder() -> Path:
    return user_folder("cache") / "ocr"
