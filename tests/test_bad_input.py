"""Files that are cut, or of formats that no reader is for: what there is of them is read, and the
true reason is given."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, complaint

from qrank.errors import ExtractError, NoTextError
from qrank.ingest.extract import documents

Qrank = Callable[..., Run]
FILES = Path(__file__).parent / "files"
LINES = "".join(f"{number},kestrel {number}\n" for number in range(5000)).encode()


def read(data: bytes, name: str) -> tuple[str, str]:
    """(all text, what is said last); for a file that can't be read "", and why."""
    try:
        found = [*documents(io.BytesIO(data), name)]
    except ExtractError as error:
        return "", str(error)
    return "\n".join(each.text for each in found), found[-1].note


@pytest.mark.parametrize(
    "name",
    ["water.docx", "water.xlsx", "water.pptx", "water.odt", "water.epub"]
    + ["birds.doc", "charts.xls", "birds.rtf", "water.ipynb"],
)
def test_the_byte_at_which_a_file_ends_is_said(name: str) -> None:
    whole = (FILES / name).read_bytes()
    assert "truncated" not in read(whole, name)[1]
    for share in (0.1, 0.5, 0.9):
        size = int(len(whole) * share)
        assert f"truncated at byte {size}" in read(whole[:size], name)[1]
    # The last sector of a compound file need not be whole.
    assert read(whole[:-7], name)[0].split()[:5] == read(whole, name)[0].split()[:5]


@pytest.mark.parametrize(
    ("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_a_compressed_file_is_read_as_far_as_it_goes(
    suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    data = compress(LINES * (30 if suffix == "bz2" else 1))
    cut = data[: len(data) // 2]
    text, note = read(cut, f"a.csv.{suffix}")
    assert "kestrel 9" in text
    assert f"truncated at byte {len(cut)}" in note
    assert read(data[:12], f"a.csv.{suffix}") == ("", "truncated at byte 12")
    if suffix == "gz":
        text, note = read(data + b"more", "a.csv.gz")
        assert "kestrel 4999" in text
        assert note == f"damaged: {len(LINES):,} bytes of its content are read"


def test_a_damaged_zip_file_is_not_called_cut() -> None:
    data = bytearray((FILES / "water.docx").read_bytes())
    data[-10:-2] = b"\xff" * 8  # how many members there are, and where their list is
    text, note = read(bytes(data), "a.docx")
    assert "pump" in text
    assert note == "damaged: read as far as possible"


@pytest.mark.parametrize("name", ["a.mobi", "a.pages", "a.wps", "a.djvu", "a.vsdx"])
def test_documents_that_no_reader_is_for_are_called_so(name: str) -> None:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("Index/Document.iwa", b"\0\1\2")
    for data in (zipped.getvalue(), b"\0\1\2BOOKMOBI" * 9):
        with pytest.raises(
            NoTextError, match=r"^[A-Z]+ is not supported \(--pre can convert it\)$"
        ):
            list(documents(io.BytesIO(data), name))
    assert read(b"Just a text.", name) == ("Just a text.", "")


def test_the_reason_is_printed(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "a.doc").write_bytes((FILES / "birds.doc").read_bytes()[:5000])
    assert "truncated at byte 5000" in complaint(qrank("chunks", "a.doc"))
