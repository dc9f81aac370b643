"""Outlook messages: headers, text, attachments; and other compound files."""

from __future__ import annotations

import io
import struct

import pytest
from compound_files import compound
from office_files import docx, paragraph
from support import extract

from qrank.errors import ExtractError
from qrank.ingest.extract import documents
from qrank.settings import Reading

DATE = struct.pack("<IIQ", 0x00390040, 6, 133_591_248_000_000_000)  # 2 May 2024
PAGE = struct.pack("<IIQ", 0x3FFD0003, 6, 1251)


def wide(text: str) -> bytes:
    return text.encode("utf-16-le")


def message(folder: str = "", **more: bytes) -> dict[str, bytes]:
    """The streams of a message; more: properties by tag and type."""
    said = {"0037001F": wide("Winter"), "0C1A001F": wide("Zoë Brook"), "0E04001F": wide("Ann")}
    said |= {"5D01001F": wide("zoe@example.org")}
    said |= {name.removeprefix("_"): data for name, data in more.items()}
    streams = {f"{folder}__substg1.0_{name}": data for name, data in said.items()}
    head = bytes(24 if folder else 32)
    return {f"{folder}__properties_version1.0": head + DATE + PAGE, **streams}


def attachment(number: int, name: str, data: bytes) -> dict[str, bytes]:
    folder = f"__attach_version1.0_#{number:08}/__substg1.0_"
    return {f"{folder}3707001F": wide(name), f"{folder}37010102": data}


HEADERS = "From: Zoë Brook <zoe@example.org>\nTo: Ann\nDate: Thu, 02 May 2024 "


@pytest.mark.parametrize(
    "body",
    [
        {"_1000001F": wide("Drain every pipe.\r\n\r\nŻółw")},
        {"_1000001F": wide("Drain every pipe.\r\n\r\nŻółw" + " " * 5000)},  # no short stream
        {"_10130102": "<meta charset=utf-8><p>Drain every pipe.<p>Żółw".encode()},
        {"_10090102": b"\0\0\0\0" + struct.pack("<I", 1000) + b"MELA\0\0\0\0"
         b"{\\rtf1 Drain every pipe.\\par \\u379?\\u243?\\u322?w}"},
    ],
    ids=["plain", "long", "html", "rtf"],
)  # fmt: skip
def test_a_message_is_read_with_its_headers(body: dict[str, bytes]) -> None:
    document = extract("a.msg", compound(message(**body)))
    parts = document.text.split("\n\n")
    assert parts[0].startswith(HEADERS)
    assert [part.strip() for part in parts[1:]] == ["Drain every pipe.", "Żółw"]
    assert document.title == "Winter"
    assert document.fields["from"] == "Zoë Brook <zoe@example.org>"
    assert extract("a", compound(message(**body))).text == document.text


def test_a_message_in_a_code_page() -> None:
    data = compound(message(_1000001E="Привет".encode("cp1251")))
    assert extract("a.msg", data).text.endswith("Привет")


def test_compressed_rtf_is_unpacked() -> None:
    packed = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a00726370673132354232"
        "0af32068656c090020627705b06c647d0a800fa0"
    )
    document = extract("a.msg", compound(message(_10090102=packed)))
    assert document.text.endswith("hello world")


def test_attachments_are_read_under_their_names_or_said() -> None:
    nested = message("__attach_version1.0_#00000002/__substg1.0_3701000D/",
                     _1000001F=wide("Inner message"))  # fmt: skip
    streams = message(_1000001F=wide("See below")) | nested
    streams |= attachment(0, "pipes.docx", docx(paragraph("Brass valves")))
    streams |= attachment(1, "photo.jpg", b"\xff\xd8\xff") | attachment(3, "id_rsa", b"key")
    main, valves, last = documents(io.BytesIO(compound(streams)), "a.msg")
    texts = {main.text[b.start : b.end]: b.heading for b in main.blocks}
    assert texts["Inner message"] == ("Winter",)
    assert (valves.member, valves.text) == ("pipes.docx", "Brass valves")
    assert last.note == (
        "photo.jpg: binary file; id_rsa: an SSH key (--include-secrets indexes it)"
    )
    made = documents(io.BytesIO(compound(streams)), "a.msg", Reading(include_secrets=True))
    assert ("id_rsa", "key") in {(each.member, each.text) for each in made}


@pytest.mark.parametrize("suffix", ["docx", "xlsx", "pptx", "msg", "xls"])
def test_encrypted_and_protected_files_are_said_to_be_so(suffix: str) -> None:
    locked = {"EncryptionInfo": b"x", "EncryptedPackage": bytes(5000)}
    with pytest.raises(ExtractError, match=r"^encrypted$"):
        extract(f"a.{suffix}", compound(locked))
    locked["\x06DataSpaces/TransformInfo/DRMEncryptedTransform/\x06Primary"] = b"x"
    with pytest.raises(ExtractError, match="rights management"):
        extract(f"a.{suffix}", compound(locked))


def test_damaged_compound_files_end() -> None:
    data = compound(message(_1000001F=wide("text " * 2000)))
    for at in range(0, len(data), 37):
        broken = data[:at] + b"\xff\x01\x00" + data[at + 3 :]
        for made in (broken, data[:at]):
            try:
                list(documents(io.BytesIO(made), "a.msg"))
            except ExtractError:
                continue
