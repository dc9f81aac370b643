"""Parts of mails that are no plain text: enriched texts, entries, tables, and parts whose headers
are wrong."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from email.message import EmailMessage

import pytest

from qrank.errors import ExtractError
from qrank.ingest.extract import documents
from qrank.results import Document

HEAD = "From: a@example.org\nSubject: s\nMIME-Version: 1.0\nReceived: now\n"
PLAIN = "Content-Type: text/plain\n\nSee the attached kestrel.\n"
PAGE = "Content-Type: text/html\n\n<p>A page of <b>dunlins</b></p>\n"
AMP = "Content-Type: text/x-amp-html\n\n<html amp4email><p>moving merlins</p></html>\n"
ENTRY = (
    "Content-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\nBEGIN:VEVENT\n"
    "SUMMARY:Ringing of knots\nEND:VEVENT\nEND:VCALENDAR\n"
)


def several(kind: str, *parts: str) -> str:
    body = "".join(f"--b\n{part}\n" for part in parts)
    return f"{HEAD}Content-Type: multipart/{kind}; boundary=b\n\n{body}--b--\n"


def read(mail: str) -> list[Document]:
    return [*documents(io.BytesIO(mail.encode()), "a.eml")]


def body(mail: str) -> str:
    """What is in a mail below its headers."""
    return read(mail)[0].text.partition("\n\n")[2]


@pytest.mark.parametrize(
    ("kind", "written", "shown"),
    [
        ("enriched", "<b>Now</b> is <<a\nknot.\n\n<param>x</param>End", "Now is <a knot.\nEnd"),
        ("richtext", "<b>Now</b>\nis<nl><lt>a <comment>no</comment>knot", "Now is\n<a knot"),
        ("html", "<p>Now", "Now"),
        ("x-unheard-of", "Now <is>", "Now <is>"),
    ],
)  # fmt: skip
def test_texts_of_other_kinds_lose_their_markup(kind: str, written: str, shown: str) -> None:
    assert body(f"{HEAD}Content-Type: text/{kind}\n\n{written}\n").strip() == shown


@pytest.mark.parametrize(
    ("parts", "shown", "members"),
    [
        ((PAGE, ENTRY), "A page of dunlins", ["invitation.ics"]),
        ((PLAIN, PAGE, ENTRY), "A page of dunlins", ["invitation.ics"]),
        ((PLAIN, PAGE, AMP), "A page of dunlins", []),
        ((AMP,), "moving merlins", []),
        ((ENTRY,), "", ["invitation.ics"]),
    ],
)
def test_an_invitation_costs_the_page_beside_it_nothing(
    parts: tuple[str, ...], shown: str, members: list[str]
) -> None:
    own, *others = read(several("alternative", *parts))
    assert own.text.partition("\n\n")[2] == shown
    assert [each.member for each in others if each.blocks] == members


def test_texts_that_are_of_a_format_are_read_as_it_says() -> None:
    own, *others = read(
        several(
            "mixed",
            PLAIN,
            "Content-Type: text/csv; name=a.csv; charset=iso-8859-1\n"
            "Content-Transfer-Encoding: base64\n\nbmFtZSxzdW0KTfxsbGVyLDMK\n",
            "Content-Type: text/rtf; name=x\n\n{\\rtf1 rich \\b plover\\b0}\n",
            "Content-Type: text/markdown\n\n# Head\n\nsome pipits\n",
            "Content-Type: text/vcard\n\nBEGIN:VCARD\nFN:Ada Wren\nEND:VCARD\n",
            "Content-Type: text/plain; name=a.patch\n\n--- a\n+++ b\n",
            "Content-Type: text/plain\nContent-Disposition: attachment; "
            "filename*0*=utf-8''Gr%C3%BC; filename*1*=%C3%9Fe.md\n\n# Two\n\nbody\n",
        )
    )
    assert "--- a\n+++ b" in own.text
    assert "Attachments: a.csv, x, a.patch, Grüße.md" in own.text
    assert [(each.member, each.text.strip()) for each in others] == [
        ("a.csv", "Müller\n3"),
        ("x.rtf", "rich plover"),
        ("text.md", "# Head\n\nsome pipits"),
        ("card.vcf", "Ada Wren"),
        ("Grüße.md", "# Two\n\nbody"),
    ]


@pytest.mark.parametrize("boundary", ["", "; boundary=other"])
def test_parts_are_found_whatever_boundary_is_named(boundary: str) -> None:
    mail = f"{HEAD}Content-Type: multipart/mixed{boundary}\n\n--b\n{PLAIN}\n--b\n{PAGE}\n--b--\n"
    assert body(mail) == "See the attached kestrel.\n\nA page of dunlins"
    assert len(read(mail)) == 1


def test_what_is_below_an_encoded_text_stays() -> None:
    """Mailing lists add such; blanks and a missing end of the encoded text do not matter."""
    base64 = f"{HEAD}Content-Transfer-Encoding: base64\n\na2VzdHJl bCBo\naXM\n\n-- \nA list.\n"
    assert body(base64) == "kestrel his\n\n-- \nA list."
    quoted = f"{HEAD}Content-Transfer-Encoding: Quoted-Printable ; x\n\nkes=\ntrel\n"
    assert body(quoted) == "kestrel"


def test_parts_that_are_elsewhere_are_said() -> None:
    partial = 'Content-Type: message/partial; id="x"; number=2; total=3\n\na second part\n'
    outside = (
        "Content-Type: message/external-body; access-type=URL\n\nContent-Type: application/pdf\n\n"
    )
    [mail] = read(several("mixed", PLAIN, outside, partial))
    assert "a second part" in mail.text
    assert mail.note == (
        "1 part is not in the mail, but elsewhere; 1 part is one of several mails, not put together"
    )


def test_keywords_and_hidden_recipients_are_fields() -> None:
    [mail] = read("Subject: s\nBcc: wren@example.org\nKeywords: knots, dunlins\n\nbody\n")
    assert mail.fields["bcc"] == "wren@example.org"
    assert mail.fields["keywords"] == "knots, dunlins"


def tnef(*attributes: tuple[int, bytes]) -> bytes:
    """What Outlook packs into one attachment ([MS-OXTNEF]): a mark, a key, then attributes."""
    made = b"\x78\x9f\x3e\x22\1\0"
    for kind, value in attributes:
        made += struct.pack("<BII", 1 + (kind & 0xF000 == 0x9000), kind, len(value))
        made += value + struct.pack("<H", sum(value) & 0xFFFF)
    return made


def string(number: int, text: str) -> bytes:
    """A property that is a text ([MS-OXCDATA] 2.11.1)."""
    data = text.encode("utf-16-le") + b"\0\0"
    return struct.pack("<HHII", 0x1F, number, 1, len(data)) + data + bytes(-len(data) % 4)


def test_what_outlook_packs_into_one_attachment_is_read() -> None:
    named = struct.pack("<HH16sIII", 3, 0x8001, b"", 0, 7, 1)  # one that a number names
    own = struct.pack("<I", 3) + named + string(0x37, "s") + string(0x1000, "The żuraw.\r\n\r\nEnd")
    inner = tnef((0x00069003, struct.pack("<I", 1) + string(0x1000, "The inner merlin.")))
    held = struct.pack("<HHII16s", 0x0D, 0x3701, 1, 16 + len(inner), b"") + inner
    packed = tnef(
        (0x00069007, struct.pack("<II", 1250, 0)),
        (0x00018004, "Żurawie\0".encode("cp1250")),
        (0x00069003, own),
        (0x00069002, bytes(14)),
        (0x0006800F, b"# Head\n\nsome knots\n"),
        (0x00018010, b"NOTES~1.MD\0"),
        (0x00069005, struct.pack("<I", 1) + string(0x3707, "notes.md")),
        (0x00069002, bytes(14)),
        (0x00069005, struct.pack("<I", 1) + held),
    )
    letter = EmailMessage()
    letter["Subject"] = "s"
    letter.set_content("See below.")
    letter.add_attachment(packed, maintype="application", subtype="ms-tnef", filename="winmail.dat")
    made = [*documents(io.BytesIO(letter.as_bytes()), "a.eml")]
    assert [(each.member, each.title, each.text.strip()) for each in made[1:]] == [
        ("winmail.dat", "Żurawie", "The żuraw.\n\nEnd"),
        ("winmail.dat!/notes.md", "Head", "# Head\n\nsome knots"),
        ("winmail.dat!/attachment", "", "The inner merlin."),
    ]
    for size in range(8, len(packed), 7):  # wherever it ends
        with suppress(ExtractError):
            list(documents(io.BytesIO(packed[:size]), "winmail.dat"))
    [*_, last] = documents(io.BytesIO(packed[:-9]), "winmail.dat")
    assert last.note.startswith(f"truncated at byte {len(packed) - 9}")
