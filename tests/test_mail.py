"""Mails as programs write them: labels that are wrong, stubs, attachments, mailboxes with patches,
what is encrypted."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from support import Run, extract

from qrank.ingest.chunk import chunk
from qrank.ingest.extract import documents

Qrank = Callable[..., Run]
FILES = Path(__file__).parent / "files"


def text_of(data: bytes, name: str = "a.eml") -> str:
    return "\n".join(c.text for c in chunk(extract(name, data)))


def word(charset: str, data: bytes) -> bytes:
    return b"=?%s?B?%s?=" % (charset.encode(), base64.b64encode(data))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (word("gb2312", "朱镕基".encode("gb18030")), "朱镕基"),
        (word("shift_jis", "㈱①".encode("cp932")), "㈱①"),
        (word("ks_c_5601-1987", "똠방각하".encode("cp949")), "똠방각하"),
        (word("iso-2022-jp", b"\x1b$B\x2d\x21\x47\x64\x1b(B"), "①売"),
        (word("utf-8", "Müller".encode("cp1252")), "Müller"),
        (word("iso-8859-1", "“40 €”".encode("cp1252")), "“40 €”"),
        (b"=?utf-8?Q?J=C3=B6rg_B?= =?UTF-8?q?=C3=B6hm?= <j@x.de>", "Jörg Böhm <j@x.de>"),
        (word("utf-8", "日".encode()[:2]) + b"\n " + word("utf-8", "日".encode()[2:]), "日"),
        ("Grüße aus Köln".encode("cp1252"), "Grüße aus Köln"),
        ("Привет из Москвы".encode("koi8-r"), "Привет из Москвы"),
        ("Grüße aus Köln".encode(), "Grüße aus Köln"),
        (b"a =?no-such?Q?M=FCller?= b =? ?= c", "a Müller b =? ?= c"),
        (word("utf-8*de", "Tür".encode()), "Tür"),
    ],
)
def test_headers_are_read_as_they_are_meant(raw: bytes, shown: str) -> None:
    made = chunk(extract("a.eml", b"Subject: " + raw + b"\nMIME-Version: 1.0\n\nText.\n"))
    assert made[0].heading == shown
    assert f"Subject: {shown}" in made[0].text


def alternative(plain: str, html: str) -> bytes:
    letter = EmailMessage()
    letter["Subject"] = "Parcel"
    letter.set_content(plain)
    letter.add_alternative(html, subtype="html")
    return letter.as_bytes()


@pytest.mark.parametrize(
    "stub",
    [
        "Your mail program cannot show HTML. Please open this message in a browser.",
        "View this message in your browser: https://example.org/x?arrives=Tuesday",
        "https://example.org/a/very/long/address",
        " \n",
        "Diese Nachricht ist im HTML-Format.",
    ],
)
def test_a_stub_gives_way_to_the_page(stub: str) -> None:
    text = text_of(alternative(stub, "<p>Your parcel <b>kestrel-4711</b> arrives on Tuesday.</p>"))
    assert text.endswith("Your parcel kestrel-4711 arrives on Tuesday.")
    assert stub.strip() not in text or not stub.strip()


def test_plain_text_that_says_the_same_is_read_alone() -> None:
    plain = "Your parcel kestrel arrives on Tuesday.\nSee https://example.org/x\n"
    page = "<h1>Your parcel</h1><p>kestrel arrives on <a href=x>Tuesday</a></p><p>See this</p>"
    assert "See this" not in text_of(alternative(plain, page))
    long = " ".join(f"word{i}" for i in range(100))
    text = text_of(alternative(long, "<p>Something else: a merlin and a hobby.</p>"))
    assert "word99" in text
    assert "merlin" in text


def test_attachments_are_members_of_their_own(qrank: Qrank, tmp_path: Path) -> None:
    letter = EmailMessage()
    letter["Subject"], letter["From"] = "Water", "zoe@example.org"
    letter.set_content("See the kestrel attached.\n")
    for name in ("water.pdf", "water.docx", "locked.pdf"):
        letter.add_attachment(
            (FILES / name).read_bytes(), maintype="application", subtype="x", filename=name
        )
    letter.add_attachment(b"GIF89a\0", maintype="image", subtype="gif", filename="logo.gif")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.eml").write_bytes(letter.as_bytes())
    box = b"From a@b.c Wed May  1 10:00:00 2024\n" + letter.as_bytes()
    (tmp_path / "d" / "b.mbox").write_bytes(box + b"\n" + box)
    run = qrank("index", "d", "--no-embed", "--db", "i.db")
    assert run.stderr.splitlines() == [
        f"qrank: skipped part of d/{name}: locked.pdf: encrypted" for name in ("a.eml", "b.mbox")
    ]
    rows = qrank("search", "--mode", "bm25", "--db", "i.db", "--jsonl", "--copies", "pipes").lines()
    found = {(Path(row["path"]).name, row["member"]) for row in rows}
    assert {("a.eml", "water.pdf"), ("a.eml", "water.docx"), ("b.mbox", "water.pdf")} <= found
    [own, *_] = qrank("search", "--mode", "bm25", "--db", "i.db", "--jsonl", "kestrel").lines()
    assert "Attachments: water.pdf, water.docx, locked.pdf, logo.gif" in own["text"]


SEPARATOR = "From a@b.c Wed May  1 10:00:00 2024\n"
PATCH = (
    "From 1234567890123456789012345678901234567890 Mon Sep 17 00:00:00 2001\n"
    "From: Ann <ann@example.org>\nSubject: [PATCH] Mend {}\n\n---\n a.c | 1 +\n"
)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("gap", ["", "\n"])
def test_a_mailbox_has_the_mails_it_has(end: str, gap: str) -> None:
    first = "Subject: One\n\nThe patch:\n\n" + PATCH.format("this")
    quoted = "\nFrom what I saw Wed May  1 10:00:00 2024\nnothing came.\n\nFrom here on.\n"
    box = SEPARATOR + first + gap + SEPARATOR + "Subject: Two\n\nText." + quoted
    made = chunk(extract("a.mbox", box.replace("\n", end).encode()))
    assert [c.heading for c in made] == ["One", "Two"]
    assert "Mend this" in made[0].text
    assert "nothing came." in made[1].text
    line = box[: box.index("Subject: Two")].count("\n") + 1
    assert made[1].start_line == line


def test_patches_are_a_mailbox() -> None:
    made = chunk(extract("a.mbox", (PATCH.format("a") + "\n" + PATCH.format("b")).encode()))
    assert [c.heading for c in made] == ["[PATCH] Mend a", "[PATCH] Mend b"]


def test_what_is_encrypted_is_said() -> None:
    armour = "-----BEGIN PGP {0}-----\n\nhQEMA0abcdef\n-----END PGP {0}-----\n"
    inline = f"Subject: s\n\nbefore\n{armour.format('MESSAGE')}after\n{armour.format('SIGNATURE')}"
    document = extract("a.eml", inline.encode())
    assert document.note == "1 part is encrypted"
    assert "hQEMA0" not in document.text
    assert "after" in document.text
    mime = (
        'Subject: s\nMIME-Version: 1.0\nContent-Type: multipart/encrypted; boundary="b"\n\n'
        "--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n--b\n"
        'Content-Type: application/octet-stream; name="encrypted.asc"\n\n'
        f"{armour.format('MESSAGE')}\n--b--\n"
    )
    assert extract("a.eml", mime.encode()).note == "1 part is encrypted"
    smime = (
        "Subject: s\nMIME-Version: 1.0\nContent-Type: application/pkcs7-mime; "
        'smime-type=enveloped-data; name="smime.p7m"\nContent-Transfer-Encoding: base64\n\nMIIB\n'
    )
    box = SEPARATOR + mime + "\n" + SEPARATOR + smime
    assert extract("a.mbox", box.encode()).note == "2 parts are encrypted"


def test_a_truncated_mail_is_read_with_a_note() -> None:
    letter = EmailMessage()
    letter["Subject"] = "s"
    letter.set_content("The kestrel.")
    letter.add_attachment("row\n" * 100, filename="rain.txt")
    whole = letter.as_bytes()
    assert extract("a.eml", whole).note == ""
    document = extract("a.eml", whole[:-200])
    assert "The kestrel." in document.text
    assert document.note == "1 part is truncated"


def test_a_mail_may_begin_with_a_mark_and_have_flowed_lines() -> None:
    head = "Subject: s\nContent-Type: text/plain; charset=utf-8; format=flowed; delsp=yes\n"
    mail = head + "Content-Transfer-Encoding: 8bit\n\n会議 \n録です。\n"
    assert "会議録です。" in text_of(mail.encode("utf-8-sig"))
    [document] = documents(io.BytesIO(mail.encode()), "a.eml")
    assert document.title == "s"


def test_an_invitation_and_a_card_are_members() -> None:
    mail = EmailMessage()
    mail["Subject"] = "Meeting"
    mail.set_content("You are invited.")
    event = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:On goshawks\nEND:VEVENT\nEND:VCALENDAR\n"
    mail.add_alternative(event, subtype="calendar")
    mail.add_attachment("BEGIN:VCARD\nFN:Zoë Brook\nEND:VCARD\n", "vcard", filename="zoe.vcf")
    found = [*documents(io.BytesIO(bytes(mail)), "a.eml")]
    texts = {each.member: each.text for each in found}
    assert "You are invited." in texts[""]
    assert "VCALENDAR" not in texts[""]
    assert "On goshawks" in texts["invitation.ics"]
    assert "Zoë Brook" in texts["zoe.vcf"]


def test_a_message_of_apple_mail_ends_before_what_the_program_knows_of_it() -> None:
    body = b"From: a@example.org\nSubject: Emlx\n\nA kestrel.\n"
    data = b"%d     \n%s<?xml version='1.0'?><plist><dict/></plist>" % (len(body), body)
    document = extract("1.emlx", data)
    assert document.text == "From: a@example.org\nSubject: Emlx\n\nA kestrel.\n".rstrip()
    assert (document.title, document.lines) == ("Emlx", [2, 2, 2, 5])


def uuencoded(name: str, data: bytes) -> bytes:
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    return b"begin 644 %b\n%b`\nend\n" % (name.encode(), b"".join(lines))


def yencoded(name: str, data: bytes) -> bytes:
    out = bytearray()
    for at, byte in enumerate(data):
        shifted = (byte + 42) & 0xFF
        out += bytes([61, (shifted + 64) & 0xFF] if shifted in b"\0\n\r=" else [shifted])
        out += b"\r\n" if at % 128 == 127 else b""
    head = b"=ybegin line=128 size=%d name=%b\r\n" % (len(data), name.encode())
    return head + out + b"\r\n=yend size=%d\r\n" % len(data)


@pytest.mark.parametrize("encoded", [uuencoded, yencoded])
def test_files_encoded_in_the_text_are_members(encoded: Callable[[str, bytes], bytes]) -> None:
    data = (FILES / "water.docx").read_bytes()
    head = b"From: a@example.org\nSubject: Water\nMessage-ID: <1@x>\n\nA kestrel first.\n\n"
    mail = head + encoded("notes.txt", b"A harrier.\n") + b"\nThen a merlin.\n"
    mail += encoded("water.docx", data) + b"Yours\n"
    for name, raw in (("a.eml", mail), ("a.mbox", b"From a@b Wed May  1 10:00:00 2024\n" + mail)):
        found = list(documents(io.BytesIO(raw), name))
        own = "\n".join(c.text for c in chunk(found[0]))
        assert own.partition("\n\n")[2] == (
            "A kestrel first.\n\nThen a merlin.\nYours\n\nAttachments: notes.txt, water.docx"
        )
        members = {each.member: each.text for each in found[1:] if each.text}
        assert members["notes.txt"].strip() == "A harrier."
        assert "Drain every pipe" in members["water.docx"]
        assert not found[-1].note


def test_damaged_files_in_the_text_are_said_and_sentences_are_none() -> None:
    head = b"From: a@example.org\nSubject: s\nMessage-ID: <1@x>\n\n"
    cut = uuencoded("cut.txt", b"A harrier was seen by the pond.\n" * 9)[:200]
    part = yencoded("big.rar", b"abc").replace(b"=ybegin ", b"=ybegin part=1 total=9 ")
    found = list(documents(io.BytesIO(head + b"One.\n" + part + cut), "a.eml"))
    assert found[-1].note == "big.rar, cut.txt: damaged, or in several mails"
    text = text_of(head + b"We\nbegin 100 metres\nFurther on.\n=ybegin is a word, name=x\n")
    assert text.endswith("We\nbegin 100 metres\nFurther on.\n=ybegin is a word, name=x")


def test_reports_of_servers_and_attachments_without_a_name_are_read() -> None:
    head = b"From: a@example.org\nSubject: s\nMessage-ID: <1@x>\nMIME-Version: 1.0\n"
    mail = head + (
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\n"
        b"Could not deliver.\n--b\nContent-Type: message/delivery-status\n\n"
        b"Reporting-MTA: dns; kestrel.example\n\nDiagnostic-Code: smtp; 550 No merlin here\n\n"
        b"--b\nContent-Type: application/x-unheard-of\n\nA harrier.\n"
        b"--b\nContent-Type: application/octet-stream\n\n\0\1\2\n--b--\n"
    )
    own, *others = documents(io.BytesIO(mail), "a.eml")
    assert "Reporting-MTA: dns; kestrel.example\n\nDiagnostic-Code: smtp; 550 No" in own.text
    assert [(each.member, each.text) for each in others if each.text] == [
        ("attachment", "A harrier.")
    ]
    assert others[-1].note == "attachment: binary file"
