"""PDFs written object by object: what is on their pages, over them and in them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

import pytest
from pdf_files import Pdf, text
from support import extract

LEFT = """The garden pump draws water from the old well
behind the chapel and fills the long stone
trough where the horses drink in the even-
ing before the gate is closed for the night.
In spring the trough is scrubbed with sand and
left to dry, and the pump is oiled by whoever
finds the can, which is never where it was.""".split("\n")
RIGHT = """A stuck brass valve is freed with warm vine-
gar and patience, which is the one thing that
a plumber learns in his first winter at work
and the last that he forgets when he is old.
Some plumbers swear by lamp oil instead, but
the smell of it stays in the water, they say,
until the next rain has filled the tank.""".split("\n")


def columns(*, alternating: bool) -> bytes:
    """A heading across the page, two columns, a line across the page."""
    left = [(50, 700 - 12 * i, line) for i, line in enumerate(LEFT)]
    right = [(310, 700 - 12 * i, line) for i, line in enumerate(RIGHT)]
    pairs = zip(left, right, strict=True)
    lines = [line for pair in pairs for line in pair] if alternating else left + right
    pdf = Pdf()
    above = (50, 740, "On pumps and valves, with some remarks on what is said of both of them")
    below = (50, 560, "These lines go across the whole page again, from the left to the right.")
    pdf.page(text(above, *lines, below))
    return pdf.bytes()


@pytest.mark.parametrize("alternating", [True, False])
def test_columns_are_read_one_after_the_other(alternating: bool, tmp_path: Path) -> None:
    data = columns(alternating=alternating)
    words = extract("a.pdf", data).text.split()
    said = " ".join(words)
    assert "horses drink in the evening before the gate" in said
    assert "warm vinegar and patience" in said
    assert said.index("On pumps") < said.index("The garden") < said.index("it was.")
    assert said.index("it was.") < said.index("A stuck brass") < said.index("across the whole page")
    if which("pdftotext"):
        (tmp_path / "a.pdf").write_bytes(data)
        run = ["pdftotext", tmp_path / "a.pdf", "-"]
        other = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        assert words == other.split()


def test_the_cells_of_a_table_stay_in_their_row() -> None:
    rows = [
        ("Half inch brass valve with lever", "Freed with warm vinegar and patience"),
        ("Three quarter inch iron valve", "Replaced in May with one made of brass"),
        ("Garden pump, cast iron, green", "Oiled every spring by whoever is there"),
        ("Stone trough behind the chapel-", "Scrubbed with sand, then left to dry"),
        ("Lead pipe from the well to pump", "Forbidden since the summer of last year"),
    ]
    pdf = Pdf()
    places = ((50, 310), range(700, 600, -14))
    pdf.page(
        text(
            *(
                (x, y, cell)
                for y, row in zip(places[1], rows, strict=False)
                for x, cell in zip(places[0], row, strict=True)
            )
        )
    )
    said = " ".join(extract("a.pdf", pdf.bytes()).text.split())
    for left, right in rows:
        assert f"{left} {right}" in said
    assert "chapel- Scrubbed" in said


def test_hyphens_at_the_ends_of_lines_go_and_those_of_names_stay() -> None:
    lines = (
        "this recon-",
        "struction of the Anglo-",
        "Saxon wall of 1990-",
        "1995, well-",
        "known",
    )
    pdf = Pdf()
    pdf.page(text(*((50, 700 - 12 * i, line) for i, line in enumerate(lines))))
    said = " ".join(extract("a.pdf", pdf.bytes()).text.split())
    assert said.startswith("this reconstruction of the Anglo-Saxon wall of 1990-")
    assert said.endswith("1995, wellknown")
