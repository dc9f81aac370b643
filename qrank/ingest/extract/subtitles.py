"""Subtitles (SRT, WebVTT): cues joined into stretches, each under the time it begins at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from qrank.ingest.decode import decode
from qrank.ingest.extract.building import Builder
from qrank.results import Document

STRETCH = 600  # characters: half a minute of speech
_TIME = re.compile(r"\s*(?:(\d{1,9}):)?(\d\d):(\d\d)[.,]\d+\s*-->")
_TAG = re.compile(r"<[^>\n]{0,100}>|\{\\[^}\n]{0,100}\}")


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document; a line of its text has the line of the file it is from."""
    builder = Builder()
    spoken: list[str] = []
    lines: list[int] = []
    size = 0
    time = ""
    in_cue = False

    def flush() -> None:
        nonlocal size
        builder.part()
        builder.headings(time)
        builder.paragraph("\n".join(spoken), lines=lines)
        spoken.clear()
        lines.clear()
        size = 0

    for number, line in enumerate(re.split(r"\r\n?|\n", decode(file.read())[0]), 1):
        begins = _TIME.match(line)
        if begins:
            in_cue = True
            if size >= STRETCH:
                flush()
            if not spoken:
                hours, minutes, seconds = begins.groups()
                time = f"{int(hours or 0):02}:{minutes}:{seconds}"
        elif not line.strip():
            in_cue = False
        elif in_cue:
            said = _TAG.sub("", line).strip()
            if said and (not spoken or spoken[-1] != said):  # rolling captions repeat lines
                spoken.append(said)
                lines.append(number)
                size += len(said)
    flush()
    yield builder.document()
