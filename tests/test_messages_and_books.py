"""gettext's messages and FictionBook's books."""

from __future__ import annotations

import io
import zipfile

import pytest
from support import extract

from qrank.errors import ExtractError

PO = """# Deutsch
msgid ""
msgstr ""
"Project-Id-Version: kettle 2.1\\n"
"Language: de\\n"
"Content-Type: text/plain; charset=ISO-8859-2\\n"

#. shown in the menu
#: src/main.c:12
#, c-format
msgid "E_xit"
msgstr "Be_enden"

msgctxt "pump"
msgid "One %d \\"cup\\""
msgid_plural "Many "
"cups"
msgstr[0] "Eine Tasse"
msgstr[1] "Viele\\nTassen"

#~ msgid "Old user_id"
#~ msgstr "Alte user_id \u0159eka"
"""


def test_messages_are_read_with_their_translations() -> None:
    document = extract("de.po", PO.encode("iso-8859-2"))
    assert document.title == "kettle 2.1"
    assert document.fields == {"language": "de"}
    texts = [document.text[block.start : block.end] for block in document.blocks]
    assert texts[-3:] == [
        "shown in the menu\nExit\nBeenden",
        'pump\nOne %d "cup"\nMany cups\nEine Tasse\nViele\nTassen',
        "Old user_id\nAlte user_id \u0159eka",
    ]
    assert "main.c" not in document.text
    assert document.lines
    assert document.lines[document.text.split("\n").index("Eine Tasse")] == 18
    for end in range(0, len(PO), 37):
        cut = extract("de.po", PO[:end].encode() + b'\nmsgid "kestrel')
        assert "kestrel" in cut.text


BOOK = """<?xml version="1.0" encoding="windows-1251"?>
<FictionBook xmlns="http://www.gribuser.ru/xml/fictionbook/2.0" xmlns:l="http://www.w3.org/1999/xlink">
<description><title-info><genre>prose</genre>
<author><first-name>\u0410\u043d\u0442\u043e\u043d</first-name><last-name>\u0427\u0435\u0445\u043e\u0432</last-name></author>
<book-title>\u0427\u0430\u0439\u043a\u0430</book-title><annotation><p>About a gull.</p></annotation>
<keywords>gull, lake</keywords><lang>ru</lang></title-info></description>
<body><title><p>The</p><p>Gull</p></title>
<section><title><p>Chapter one</p></title>
<p>Zitter<emphasis>bewegung</emphasis> of it<a l:href="#n1" type="note">[1]</a>.</p>
<p>Next<strong>one</strong></p><poem><stanza><v>First verse</v><v>Second verse</v></stanza></poem>
<table><tr><td>one</td><td>two</td></tr></table>
<section><title><p>Deeper</p></title><p>Below.</p></section></section></body>
<body name="notes"><section id="n1"><title><p>1</p></title><p>A note.</p></section></body>
<binary id="a.jpg" content-type="image/jpeg">/9j/4AAQSkZJRg</binary>
</FictionBook>
"""  # fmt: skip


def test_a_book_is_read_under_its_chapters() -> None:
    data = BOOK.encode("cp1251")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.fb2", data)
    for name, content in (("a.fb2", data), ("a.fb2.zip", packed.getvalue())):
        document = extract(name, content)
        assert document.title == "\u0427\u0430\u0439\u043a\u0430"
        author = "\u0410\u043d\u0442\u043e\u043d \u0427\u0435\u0445\u043e\u0432"
        assert document.fields["author"] == author
        assert document.fields["keywords"] == ["gull", "lake"]
        assert "Zitterbewegung of it[1].\n\nNextone\n\nFirst verse\n\nSecond verse" in document.text
        assert "one | two" in document.text
        assert "About a gull." in document.text
        assert "4AAQ" not in document.text
        headings = [block.heading for block in document.blocks]
        assert ("The Gull", "Chapter one", "Deeper") in headings
        assert ("notes", "1") in headings
        assert document.lines
        assert document.lines[document.text.split("\n").index("Below.")] == 12


def test_the_number_of_a_note_is_no_part_of_a_word() -> None:
    assert "of it 1." in extract("a.fb2", BOOK.replace("[1]", "1").encode("cp1251")).text


def test_a_book_that_is_cut_off_is_read_as_far_as_it_goes() -> None:
    data = BOOK.encode("cp1251")
    assert "Zitterbewegung" in extract("a.fb2", data[: data.index(b"Second verse")]).text
    with pytest.raises(ExtractError, match="not a FictionBook"):
        extract("a.fb2", b"<html><p>Text</html>")
