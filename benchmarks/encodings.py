"""Encoding detection: the share of short texts without a declared encoding that are decoded right.

    python benchmarks/encodings.py [--texts 200] [--others] FOLDER...

The folders have translations (*.mo), other ones than qrank/ingest/letters.txt was written from:
/usr/share/locale of a Debian system, say. A text is right when all its letters are. --others
measures charset-normalizer and chardet, too, which have to be installed.
"""

from __future__ import annotations

import argparse
import gettext
import random
import re
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

from qrank.ingest.decode import decode
from qrank.ingest.guess import as_cp1258

CASES = {
    "shift_jis": "ja", "euc_jp": "ja", "iso2022_jp": "ja", "gbk": "zh_CN", "big5": "zh_TW",
    "euc_kr": "ko", "cp1251": "ru", "koi8-r": "ru", "cp866": "ru", "iso-8859-5": "bg",
    "koi8-u": "uk", "mac-cyrillic": "ru", "cp1254": "tr", "cp1257": "lt", "iso-8859-13": "lv",
    "cp1250": "pl", "iso-8859-2": "cs", "cp852": "hu", "cp1253": "el", "iso-8859-7": "el",
    "cp1255": "he", "iso-8859-8": "he", "cp1256": "ar", "cp874": "th", "cp1258": "vi",
    "cp1252": "fr", "iso-8859-15": "de", "mac-roman": "es", "cp850": "sv",
}  # fmt: skip
LENGTHS = ((20, 60), (60, 200), (200, 1000))  # bytes


def messages(folders: list[Path], language: str) -> list[str]:
    """The translations into a language, each once."""
    found: dict[str, None] = {}
    for folder in folders:
        for path in sorted(folder.rglob(f"{language}/LC_MESSAGES/*.mo")):
            try:
                with path.open("rb") as file:
                    catalog = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
            except (OSError, UnicodeDecodeError):
                continue
            found |= {
                as_cp1258(text) if language == "vi" else text: None
                for key, text in catalog.items()
                if key and text != key
            }
    return [*found]


def samples(texts: list[str], encoding: str, least: int, most: int, count: int) -> list[bytes]:
    """Up to count encoded texts of least to most bytes, joined from translations; each has letters
    beyond ASCII."""
    source = random.Random(f"{encoding} {least}")
    result: list[bytes] = []
    tries = 0
    while len(result) < count and tries < 100 * count:
        tries += 1
        length, text = source.randint(least, most), ""
        while len(text.encode(encoding, "ignore")) < length:
            text += re.sub(r"\s+", " ", source.choice(texts)) + "\n"
        while len(text.encode(encoding, "ignore")) > most:
            text = text[:-1]
        try:
            data = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        if any(c.isalpha() and not c.isascii() for c in text) and len(data) >= least:
            result.append(data)
    return result


def same(one: str, other: str) -> bool:
    """Whether two texts have the same letters."""

    def letters(text: str) -> str:
        return "".join(c for c in unicodedata.normalize("NFC", text) if c.isalnum())

    return letters(one) == letters(other)


def ours(data: bytes) -> str:
    return decode(data)[0]


def readers(others: bool) -> dict[str, Callable[[bytes], str]]:
    """The functions to measure, by name."""
    functions: dict[str, Callable[[bytes], str]] = {"qrank": ours}
    if others:
        import chardet
        import charset_normalizer

        functions["charset-normalizer"] = lambda d: str(charset_normalizer.from_bytes(d).best())
        functions["chardet"] = lambda d: d.decode(
            chardet.detect(d)["encoding"] or "ascii", "replace"
        )
    return functions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--show", action="store_true", help="print the texts that are wrong")
    options = parser.parse_args()
    for name, read in readers(options.others).items():
        right = [0] * len(LENGTHS)
        total = [0] * len(LENGTHS)
        seconds = 0.0
        for encoding, language in CASES.items():
            texts = messages(options.folders, language)
            row = []
            for i, (least, most) in enumerate(LENGTHS):
                encoded = samples(texts, encoding, least, most, options.texts)
                start = time.perf_counter()
                decoded = [read(data) for data in encoded]
                seconds += time.perf_counter() - start
                good = 0
                for data, text in zip(encoded, decoded, strict=True):
                    original = data.decode(encoding)
                    good += same(text, original)
                    if options.show and not same(text, original):
                        print(f"    {original!r}\n    {text!r}")
                right[i] += good
                total[i] += len(encoded)
                row.append(f"{good / max(1, len(encoded)):.3f}")
            print(f"{name:20} {encoding:14} {language:6} {'  '.join(row)}")
        shares = "  ".join(f"{r / max(1, t):.3f}" for r, t in zip(right, total, strict=True))
        print(f"{name:20} {'all':21} {shares}  {1000 * seconds / max(1, sum(total)):.2f} ms a text")


if __name__ == "__main__":
    main()
