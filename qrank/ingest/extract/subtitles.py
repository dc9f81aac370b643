"""Subtitles (SRT, WebVTT, SubStation): cues are joined to parts, with the start time as heading;
the text of each cue follows its time in brackets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import BinaryIO, NamedTuple

from qrank.ingest.decode import decode
from qrank.ingest.extract.building import Builder
from qrank.results import Document

PART = 600  # characters, about half a minute of speech
_TIME = re.compile(r"\s*(?:(\d{1,9}):)?(\d\d):(\d\d)[.,]\d+\s*-->")
_DIALOGUE = re.compile(r"Dialogue:[^,\n]*,\s*(\d{1,9}):(\d\d):(\d\d)[.,]\d+,(?:[^,\n]*,){7}(.*)")
_NOT_A_CUE = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")  # other blocks of WebVTT
_VOICE = re.compile(r"<v(?:\.[^\s>]{1,60})?\s+([^>\n]{1,100})>")  # who speaks
_TAG = re.compile(r"<[^>\n]{0,100}>|\{\\[^}\n]{0,100}\}")


class _Line(NamedTuple):
    """A line of a cue. number: of the line in the file; time: start of the cue."""

    number: int
    time: str
    text: str


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document; each line of its text has its line number in the file."""
    builder = Builder()
    part: list[_Line] = []
    size = 0
    for line in _lines(decode(file.read())[0]):
        if size >= PART and line.time != part[-1].time:
            _add(builder, part)
            part, size = [], 0
        if not part or part[-1].text != line.text:  # rolling captions repeat lines
            part.append(line)
            size += len(line.text)
    _add(builder, part)
    yield builder.document()


def _lines(text: str) -> Iterator[_Line]:
    time = ""  # of the current cue
    last_time = ""  # for text outside of cues: after a blank line in a cue
    before = ""
    in_other_block = False
    lines = re.split(r"\r\n?|\n", text)
    for number, line in enumerate(lines, 1):
        if begins := _TIME.match(line):
            time = last_time = _clock(*begins.groups())
        elif begins := _DIALOGUE.match(line):
            for part in re.split(r"\\[Nn]", begins[4]):
                if words := _TAG.sub("", part).replace("\\h", " ").strip():
                    yield _Line(number, _clock(*begins.group(1, 2, 3)), words)
        elif not line.strip():
            time, in_other_block = "", False
        else:
            following = lines[number] if number < len(lines) else ""
            if not time and not before.strip():
                in_other_block = bool(_NOT_A_CUE.match(line))
            is_name = not time and (
                _TIME.match(following)
                or (line.strip().isdecimal() and following.strip() and not before.strip())
            )
            words = unescape(_TAG.sub("", _VOICE.sub(r"\1: ", line))).strip()
            if last_time and words and not (in_other_block or is_name):
                yield _Line(number, time or last_time, words)
        before = line


def _clock(hours: str | None, minutes: str, seconds: str) -> str:
    return f"{int(hours or 0):02}:{minutes}:{seconds}"


def _add(builder: Builder, part: list[_Line]) -> None:
    if not part:
        return
    builder.part()
    builder.headings(part[0].time)
    lines = [
        line.text if i and line.time == part[i - 1].time else f"[{line.time}] {line.text}"
        for i, line in enumerate(part)
    ]
    builder.paragraph("\n".join(lines), lines=[line.number for line in part])
