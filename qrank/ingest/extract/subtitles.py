"""Subtitles (SRT, WebVTT, SubStation): cues joined into stretches, each under the time it begins
at; before what is said stands its own time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import BinaryIO, NamedTuple

from qrank.ingest.decode import decode
from qrank.ingest.extract.building import Builder
from qrank.results import Document

STRETCH = 600  # characters: half a minute of speech
_TIME = re.compile(r"\s*(?:(\d{1,9}):)?(\d\d):(\d\d)[.,]\d+\s*-->")
_DIALOGUE = re.compile(r"Dialogue:[^,\n]*,\s*(\d{1,9}):(\d\d):(\d\d)[.,]\d+,(?:[^,\n]*,){7}(.*)")
_ASIDE = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")  # WebVTT's blocks that are no cues
_TAG = re.compile(r"<[^>\n]{0,100}>|\{\\[^}\n]{0,100}\}")


class _Line(NamedTuple):
    """What is said: its line of the file, and when its cue begins."""

    number: int
    time: str
    text: str


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document; a line of its text has the line of the file it is from."""
    builder = Builder()
    stretch: list[_Line] = []
    size = 0
    for line in _lines(decode(file.read())[0]):
        if size >= STRETCH and line.time != stretch[-1].time:
            _add(builder, stretch)
            stretch, size = [], 0
        if not stretch or stretch[-1].text != line.text:  # rolling captions repeat lines
            stretch.append(line)
            size += len(line.text)
    _add(builder, stretch)
    yield builder.document()


def _lines(text: str) -> Iterator[_Line]:
    time = ""  # of the cue that is being read
    latest = ""  # time: what is said outside of a cue (a blank line in it, no time) is kept
    before = ""
    is_aside = False
    lines = re.split(r"\r\n?|\n", text)
    for number, line in enumerate(lines, 1):
        if begins := _TIME.match(line):
            time = latest = _clock(*begins.groups())
        elif begins := _DIALOGUE.match(line):
            for part in re.split(r"\\[Nn]", begins[4]):
                if spoken := _TAG.sub("", part).replace("\\h", " ").strip():
                    yield _Line(number, _clock(*begins.group(1, 2, 3)), spoken)
        elif not line.strip():
            time, is_aside = "", False
        else:
            following = lines[number] if number < len(lines) else ""
            if not time and not before.strip():
                is_aside = bool(_ASIDE.match(line))
            is_name = not time and (
                _TIME.match(following)
                or (line.strip().isdecimal() and following.strip() and not before.strip())
            )
            spoken = "" if is_aside or is_name else unescape(_TAG.sub("", line)).strip()
            if latest and spoken:
                yield _Line(number, time or latest, spoken)
        before = line


def _clock(hours: str | None, minutes: str, seconds: str) -> str:
    return f"{int(hours or 0):02}:{minutes}:{seconds}"


def _add(builder: Builder, stretch: list[_Line]) -> None:
    if not stretch:
        return
    builder.part()
    builder.headings(stretch[0].time)
    lines = [
        line.text if i and line.time == stretch[i - 1].time else f"[{line.time}] {line.text}"
        for i, line in enumerate(stretch)
    ]
    builder.paragraph("\n".join(lines), lines=[line.number for line in stretch])
