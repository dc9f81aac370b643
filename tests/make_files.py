"""Makes tests/files/: a small real file of each format, by a program or library of that format.

Run it where LibreOffice (soffice) and qpdf are, after:
pip install python-pptx openpyxl nbformat pysubs2 reportlab ebooklib
The text is that of PAGES below: each file has its sentence on a known page, slide, sheet or line
(tests/test_formats.py knows which).
"""

from __future__ import annotations

import csv
import datetime
import gzip
import json
import mailbox
import shutil
import subprocess
import sys
import tempfile
from email.message import EmailMessage
from pathlib import Path

FILES = Path(__file__).parent / "files"
PAGES = [
    ("Pumps", "The garden pump draws water from the old well behind the chapel."),
    ("Valves", "A stuck brass valve is freed with warm vinegar and patience."),
    ("Winter", "Drain every pipe before the first frost of November arrives."),
]
FILLER = "This line is here so that the page holds a little more than one sentence."


def html() -> str:
    pages = "".join(
        f'<h1 style="{"page-break-before: always" if i else ""}">{title}</h1>\n'
        f"<p>{FILLER}</p>\n<p>{text}</p>\n"
        f"<table><tr><td>part {i}</td><td>{i * 7} mm</td></tr></table>\n"
        for i, (title, text) in enumerate(PAGES)
    )
    head = "<head><meta charset='utf-8'><title>Water works</title></head>"
    return f"<html>{head}<body>{pages}</body></html>"


def office(work: Path) -> None:
    """ODT, DOCX, PDF, EPUB, HTML by LibreOffice Writer; PPTX, ODP, ODS and XLS by the others."""
    source = work / "water.html"
    source.write_text(html(), "utf-8")
    convert(work, source, "odt:writer8", "--infilter=HTML (StarWriter)")
    odt = work / "water.odt"
    for kind in (
        "docx:MS Word 2007 XML",
        'pdf:writer_pdf_Export:{"ExportBookmarks":{"type":"boolean","value":"true"}}',
        "epub",
        "html:HTML (StarWriter)",
    ):
        convert(work, odt, kind)
    for suffix in ("odt", "docx", "pdf", "epub", "html"):
        shutil.copy(work / f"water.{suffix}", FILES / f"water.{suffix}")

    from pptx import Presentation

    slides = Presentation()
    slides.core_properties.title = "Water works"
    for title, text in PAGES:
        slide = slides.slides.add_slide(slides.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = f"{FILLER}\n{text}"
        slide.notes_slide.notes_text_frame.text = f"Notes on {title}: ask the plumber."
    slides.save(FILES / "water.pptx")
    convert(work, FILES / "water.pptx", "odp")
    shutil.copy(work / "water.odp", FILES / "water.odp")

    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for title, text in PAGES:
        sheet = book.create_sheet(title)
        sheet.append(["note", "bought", "length"])
        sheet.append([FILLER, datetime.date(2024, 5, 1), 12.5])
        sheet.append([text, datetime.date(2024, 5, 2), 40])
    book.save(FILES / "water.xlsx")
    for kind in ("ods", "xls"):
        convert(work, FILES / "water.xlsx", kind)
        shutil.copy(work / f"water.{kind}", FILES / f"water.{kind}")


def older(work: Path) -> None:
    """The formats of before 2007; birds.docx is written by hand, with what stands beside a text."""
    for kind in ("doc", "rtf"):
        convert(work, FILES / "birds.docx", kind)
        shutil.copy(work / f"birds.{kind}", FILES / f"birds.{kind}")
    convert(work, FILES / "birds.docx", "xml:MS Word 2003 XML")
    shutil.copy(work / "birds.xml", FILES / "birds.xml")
    # By hand: words and a whole paragraph that were deleted while changes were recorded.
    convert(work, FILES / "changed.docx", "doc")
    shutil.copy(work / "changed.doc", FILES / "changed.doc")
    # By hand: comments of cells, one of more characters than a record holds, and a text box.
    convert(work, FILES / "comments.fods", "xls")
    shutil.copy(work / "comments.xls", FILES / "comments.xls")
    charts(work)
    convert(work, FILES / "water.pptx", "ppt")
    packed = gzip.compress((work / "water.ppt").read_bytes(), 9, mtime=0)
    (FILES / "water.ppt.gz").write_bytes(packed)


def charts(work: Path) -> None:
    import openpyxl
    from openpyxl.chart import BarChart, Reference

    book = openpyxl.Workbook()
    for name in ("Tides", "Winds"):
        sheet = book.create_sheet(name)
        sheet.append(["kestrel", 3])
        sheet.oddHeader.left.text = '&"Arial,Bold"Case &14 ZQ-4711'
        sheet.oddFooter.center.text = "Page &P"
        chart = BarChart()
        chart.title = f"{name} of the żuraw"
        chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=1))
        sheet.add_chart(chart, "F1")
    del book["Sheet"]
    book.save(work / "charts.xlsx")
    convert(work, work / "charts.xlsx", "xls")
    shutil.copy(work / "charts.xls", FILES / "charts.xls")


def convert(work: Path, source: Path, kind: str, *more: str) -> None:
    subprocess.run(
        ["soffice", "--headless", f"-env:UserInstallation=file://{work}/profile", *more]
        + ["--convert-to", kind, "--outdir", str(work), str(source)],
        check=True,
        capture_output=True,
    )


def other_pdfs() -> None:
    from reportlab.lib.pagesizes import A5
    from reportlab.pdfgen.canvas import Canvas

    for name, lock in (("reportlab.pdf", None), ("locked.pdf", "secret"), ("scan.pdf", None)):
        canvas = Canvas(str(FILES / name), pagesize=A5, encrypt=lock)
        canvas.setTitle("Water works")
        for title, text in PAGES:
            if name == "scan.pdf":
                canvas.rect(50, 50, 300, 300)
            else:
                canvas.bookmarkPage(title)
                canvas.addOutlineEntry(title, title)
                canvas.drawString(40, 500, FILLER[:60])
                canvas.drawString(40, 480, text)
            canvas.showPage()
        canvas.save()
    encrypted("owner.pdf", "", "owner", "--extract=n", "--print=none", "--modify=none")
    encrypted("empty_owner.pdf", "secret", "", "--allow-insecure")
    encrypted("empty_owner_5.pdf", "secret", "", "--allow-insecure", "--force-R5")


def encrypted(name: str, user: str, owner: str, *more: str) -> None:
    """AES-256 with these passwords, by qpdf."""
    command = ["qpdf", "--allow-weak-crypto", "--encrypt", user, owner, "256", *more, "--"]
    subprocess.run([*command, FILES / "reportlab.pdf", FILES / name], check=True)


def books() -> None:
    from ebooklib import epub

    book = epub.EpubBook()
    book.set_identifier("water")
    book.set_title("Water works")
    book.set_language("en")
    book.add_author("A. Plumber")
    chapters = []
    for i, (title, text) in enumerate(PAGES):
        chapter = epub.EpubHtml(title=title, file_name=f"chapter {i}.xhtml", lang="en")
        chapter.content = f"<h1>{title}</h1><p>{FILLER}</p><p>{text}</p>"
        book.add_item(chapter)
        chapters.append(chapter)
    book.spine = chapters
    book.add_item(epub.EpubNcx())
    book.add_item(epub.EpubNav())
    epub.write_epub(str(FILES / "book.epub"), book)


def notebook() -> None:
    import nbformat

    v4 = nbformat.v4
    made = v4.new_notebook()
    for title, text in PAGES:
        made.cells.append(v4.new_markdown_cell(f"# {title}\n\n{FILLER}\n\n{text}"))
        made.cells.append(
            v4.new_code_cell(
                f"flow = '{title}'\nprint(flow)",
                outputs=[v4.new_output("stream", text=f"measured flow of {title.lower()}\n")],
            )
        )
    nbformat.write(made, FILES / "water.ipynb")


def mail() -> None:
    (FILES / "post.mbox").unlink(missing_ok=True)
    box = mailbox.mbox(FILES / "post.mbox")
    for i, (title, text) in enumerate(PAGES):
        message = EmailMessage()
        message["From"] = "Zoë Brook <zoe@example.org>"
        message["To"] = "plumber@example.org"
        message["Subject"] = f"{title} – a question"
        message["Date"] = "Wed, 01 May 2024 10:00:00 +0000"
        message["Message-ID"] = f"<{i}@example.org>"
        message.set_content(f"Hello,\n\n{FILLER}\n\n{text}\n\nZoë\n")
        if i:
            message.add_alternative(f"<p>Hello,</p><p>{text}</p>", subtype="html")
        message.add_attachment(b"\0\1\2", "application", "x-data", filename=f"{title}.bin")
        box.add(message)
        if i == 1:
            (FILES / "letter.eml").write_bytes(message.as_bytes())
    box.flush()


def records() -> None:
    rows = [{"id": i, "title": t, "text": f"{FILLER} {x}"} for i, (t, x) in enumerate(PAGES)]
    with (FILES / "water.jsonl").open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
    with (FILES / "water.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "title", "text"])
        writer.writeheader()
        writer.writerows(rows)
    with gzip.GzipFile(FILES / "water.csv.gz", "wb", mtime=0) as packed:
        packed.write((FILES / "water.csv").read_bytes())


def subtitles() -> None:
    import pysubs2

    film = pysubs2.SSAFile()
    for i, (_, text) in enumerate(PAGES):
        start = i * 60_000
        film.append(pysubs2.SSAEvent(start=start, end=start + 2000, text=FILLER))
        film.append(
            pysubs2.SSAEvent(start=start + 2500, end=start + 5000, text=f"{{\\i1}}{text}{{\\i0}}")
        )
    film.save(str(FILES / "water.srt"))
    film.save(str(FILES / "water.vtt"))


def main() -> None:
    FILES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        office(Path(work))
    for make in (other_pdfs, books, notebook, mail, records, subtitles):
        make()
    for path in sorted(FILES.iterdir()):
        print(path.stat().st_size, path.name, file=sys.stderr)


if __name__ == "__main__":
    main()
