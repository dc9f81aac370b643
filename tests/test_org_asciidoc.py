"""Org and AsciiDoc: headings and fields; the text and its places are the file's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, extract

from qrank.analysis.text import index_terms
from qrank.markup import readable

ORG = """:PROPERTIES:
:ID: 1234-abcd
:END:
#+TITLE: The chapel
#+AUTHOR: Ada L.
#+FILETAGS: :house:
#+KEYWORDS: water, pump
#+TODO: NEXT | GONE

Before all.

* NEXT [#A] Repair of the pump :work:urgent:
:PROPERTIES:
:EFFORT: 2h
:END:
See [[https://example.org/a][the page]][fn:1] of Sch\\ouml{}n.
** Tools
#+BEGIN_SRC python
wrench = "/usr/bin"
#+END_SRC
* Tea
"""


def test_org_has_headings_and_fields() -> None:
    document = extract("a.org", ORG.encode())
    assert document.text == ORG
    assert document.title == "The chapel"
    assert document.fields == {
        "id": "1234-abcd",
        "author": "Ada L.",
        "keywords": ["water", "pump"],
        "tags": ["house", "work", "urgent"],
    }
    assert list(dict.fromkeys(block.heading for block in document.blocks)) == [
        (),
        ("Repair of the pump",),
        ("Repair of the pump", "Tools"),
        ("Tea",),
    ]
    read = readable(ORG, "a.org")
    assert read.count("\n") == ORG.count("\n")
    assert "See the page <https://example.org/a> [1] of Schön." in read
    assert "PROPERTIES" not in read
    assert " python\n" in read


ADOC = """= The chapel
Ada L. <ada@example.org>; Bob Miller
v1.0, 2024-05-03
:keywords: water, pump
:description: How it was built

Preamble of it.

== Repair of the __Zitter__pump

// a secret remark
Turn H~2~O off.footnote:[At the wall.] See link:https://example.org/a[the page]&eacute;.

----
== not a heading
// kept in code
----

=== Tools ===

A wrench.

Old style
~~~~~~~~~

Last.
"""


def test_asciidoc_has_headings_and_fields(qrank: Callable[..., Run], tmp_path: Path) -> None:
    document = extract("a.adoc", ADOC.encode())
    assert document.text == ADOC
    assert document.title == "The chapel"
    assert document.fields == {
        "author": ["Ada L.", "Bob Miller"],
        "subject": "How it was built",
        "keywords": ["water", "pump"],
    }
    assert list(dict.fromkeys(block.heading for block in document.blocks)) == [
        ("The chapel",),
        ("The chapel", "Repair of the Zitterpump"),
        ("The chapel", "Repair of the Zitterpump", "Tools"),
        ("The chapel", "Repair of the Zitterpump", "Old style"),
    ]
    path = tmp_path / "a.adoc"
    path.write_text(ADOC, "utf-8")
    qrank("index", str(path), "--no-embed")
    for query in ("Zitterpump", "H2O", "wrench", '"kept in code"'):
        [result, *_] = qrank("search", query, "--mode", "bm25", "--jsonl").lines()
        there = path.read_bytes()[result["start_byte"] : result["end_byte"]]
        assert there.decode() == result["text"]
    assert not qrank("search", "secret remark", "--mode", "bm25", "--jsonl").lines()


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("a.adoc", "__Zitter__bewegung **bold**ly _it_ `mono`", "Zitterbewegung boldly it mono"),
        ("a.adoc", "wordfootnote:[Note]. a{nbsp}b {empty}c", "word Note a b c"),
        ("a.adoc", "image::old.png[Alt text]\nxref:part[Part]", "old png Alt text part Part"),
        ("a.adoc", "////\nhidden\n////\nshown", "shown"),
        ("a.adoc", "int a; // kept\n----\n\nText // kept", "int a kept Text kept"),
        ("a.org", "word[fn:: note] [[file:a.org][Link]]s", "word note Links file a org"),
        ("a.org", "*bold* /it/ ~code~ _under_ \\eacute{}t\\eacute", "bold it code under été"),
        ("a.org", "#+BEGIN_QUOTE\nsaid\n#+END_QUOTE\n* Head\n| a | b |", "said Head a b"),
    ],
)  # fmt: skip
def test_what_is_apart_stays_apart_and_what_is_joined_joined(
    name: str, source: str, words: str
) -> None:
    read = readable(source, name)
    found = {term for term in index_terms(read) if not term.startswith("_")}
    assert found == set(index_terms(words))
    assert read.count("\n") == source.count("\n")


@pytest.mark.parametrize(
    "broken", ["----", "====", "[[", "#+BEGIN_SRC", ":PROPERTIES:", "* ", "= "]
)
def test_what_is_broken_is_read_as_far_as_it_goes(broken: str) -> None:
    for name, mark in (("a.adoc", "="), ("a.org", "*")):
        text = f"{mark} Start\n\nThe kestrel.\n\n{broken}"
        document = extract(name, text.encode())
        assert document.blocks[0].heading == ("Start",)
        assert "kestrel" in index_terms(readable(document.text, name))
