"""Links between documents: targets, backlinks, and searches among linked documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import Run, complaint, write_files

from qrank import Index
from qrank.analysis.links import links

Qrank = Callable[..., Run]
FILES = {
    "index.md": "# Start\n\nSee [[Green Tea|tea]], [[Green Tea#Steeping]] and ![[Coffee]]; also\n"
    '[brakes](sub/My%20Brakes.md#pads "t"), [web](https://x.org), [[Nowhere]], `[[Code]]`.\n\n'
    "```\n[[Fenced]]\n```\n\n[moved](old/Helm.md) [ref]\n\n[ref]: ./sub/My%20Brakes.md\n",
    "sub/Green Tea.md": "# Green tea\n\nBack to [[index]].\n",
    "deep/down/Green Tea.md": "# Another\n\nDeep down; [[Green Tea]].\n",
    "Coffee.md": "# Coffee\n\nUnlike green tea. But [[sub/Green Tea]].\n",
    "sub/My Brakes.md": "# My Brakes\n\nWith [[../Coffee]] and [[#Here]].\n",
    "sub/Helm.md": "# Helm\n\nText.\n",
    "été.md": "# Été\n\n[[Coffee]] au lait.\n",
    "site/p.html": "<html><title>P</title><body>\n<p>Hi <a href='../Coffee.md'>c</a>\n"
    "<a href=missing.html>x</a> <a href='#top'>y</a><!-- <a href='no.html'> --></body></html>",
    "o.org": "* Org\n\n[[file:Coffee.md::*Head][c]], [[*internal]], [[https://x.org][web]]\n",
    "r.rst": "Title\n=====\n\n`c <Coffee.md>`_ and :doc:`sub/other`\n\n.. toctree::\n"
    "   :maxdepth: 2\n\n   r2\n",
    "r2.rst": "R2\n==\n\nText.\n",
}
OUT = {
    "index.md": {
        *("3 sub/Green Tea.md", "3 Coffee.md", "4 sub/My Brakes.md", "4 -", "10 sub/Helm.md"),
        "12 sub/My Brakes.md",
    },
    "sub/Green Tea.md": {"3 index.md"},
    "deep/down/Green Tea.md": {"3 deep/down/Green Tea.md"},  # the one beside it, itself
    "Coffee.md": {"3 sub/Green Tea.md"},
    "sub/My Brakes.md": {"3 Coffee.md"},
    "été.md": {"3 Coffee.md"},
    "site/p.html": {"2 Coffee.md", "3 -"},
    "o.org": {"3 Coffee.md"},
    "r.rst": {"4 Coffee.md", "4 -", "9 r2.rst"},
}
TO_COFFEE = {"index.md", "sub/My Brakes.md", "été.md", "site/p.html", "o.org", "r.rst"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("links")
    write_files(made, FILES)
    with Index(made / "i.db") as index:
        index.add(made, embed=False)
    return made


@pytest.fixture
def index(folder: Path) -> Iterator[Index]:
    with Index(folder / "i.db") as opened:
        yield opened


def within(folder: Path, path: str | None) -> str:
    return str(Path(path).relative_to(folder)) if path else "-"


@pytest.mark.parametrize("name", OUT)
def test_links_lead_where_they_say(index: Index, folder: Path, name: str) -> None:
    found = index.links(str(folder / name)).outgoing
    assert {f"{link.line} {within(folder, link.to)}" for link in found} == OUT[name]


def test_every_kind_of_file_that_links_to_one_is_found(index: Index, folder: Path) -> None:
    found = index.links(str(folder / "Coffee.md"))
    assert {within(folder, link.path) for link in found.incoming} == TO_COFFEE
    of_tea = index.links(str(folder / "sub/Green Tea.md"))
    assert {within(folder, link.path) for link in of_tea.incoming} == {"index.md", "Coffee.md"}
    assert [(within(folder, m.path), m.line, m.text) for m in of_tea.mentions] == [
        ("Coffee.md", 3, "green tea")
    ]


def test_links_both_ways_agree(index: Index, folder: Path) -> None:
    every = [str(folder / name) for name in FILES]
    out = {(link.path, link.to) for path in every for link in index.links(path).outgoing if link.to}
    into = {(link.path, link.to) for path in every for link in index.links(path).incoming}
    assert into == {(path, to) for path, to in out if path != to}


def test_a_file_that_was_moved_is_followed_while_its_name_is_the_only_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "from.md").write_text("[x](note.md)\n", "utf-8")
    (tmp_path / "a" / "note.md").write_text("# Note\n\ntext\n", "utf-8")
    with Index(tmp_path / "i.db") as index:
        index.add(tmp_path, embed=False)
        [link] = index.links(str(tmp_path / "from.md")).outgoing
        assert link.to == str(tmp_path / "a" / "note.md")
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "note.md").write_text("# Note\n\nother\n", "utf-8")
        index.add(tmp_path, embed=False)
        [link] = index.links(str(tmp_path / "from.md")).outgoing
        assert link.to is None


def test_a_search_among_linked_documents(index: Index, folder: Path) -> None:
    coffee, start = str(folder / "Coffee.md"), str(folder / "index.md")
    to = index.search("coffee", mode="bm25", links_to=coffee)
    assert {within(folder, result.path) for result in to} <= TO_COFFEE
    assert len(to) > 0
    by = index.search("tea text", mode="bm25", linked_from=start)
    assert {within(folder, result.path) for result in by} == {
        *("sub/Green Tea.md", "sub/Helm.md", "Coffee.md")
    }
    both = index.search("coffee", mode="bm25", links_to=coffee, linked_from=start)
    assert {within(folder, result.path) for result in both} == {"sub/My Brakes.md"}
    none = index.search("coffee", mode="bm25", links_to=str(folder / "r.rst"))
    assert len(none) == 0


def test_the_command_lists_links(qrank: Qrank, folder: Path) -> None:
    shown = qrank("links", "index.md", "--db", "i.db", cwd=folder)
    assert shown.returncode == 0
    assert "  3: Green Tea#Steeping -> sub/Green Tea.md\n" in shown.stdout
    assert "unresolved:\n  4: Nowhere\n" in shown.stdout
    found = qrank("links", "Coffee.md", "--db", "i.db", "--json", cwd=folder).json()
    assert {within(folder, link["path"]) for link in found["in"]} == TO_COFFEE
    listed = qrank("search", "--links-to", "Coffee.md", "--db", "i.db", "-l", cwd=folder)
    assert set(listed.stdout.splitlines()) == TO_COFFEE
    said = complaint(qrank("links", "nothing.md", "--db", "i.db", cwd=folder))
    assert "nothing.md is not in the index" in said
    said = complaint(qrank("search", "x", "--links-to", "no.md", "--db", "i.db", cwd=folder))
    assert "no.md is not in the index" in said
    assert "sub is a folder; name an" in complaint(
        qrank("links", "sub", "--db", "i.db", cwd=folder)
    )
    ask = ("search", "x", "--db", "i.db", "--mode", "bm25")
    for option, name, said in (
        ("--links-to", "r.rst", "no indexed file links to r.rst (qrank links r.rst)"),
        ("--linked-from", "r2.rst", "r2.rst links to no indexed file"),
    ):
        run = qrank(*ask, option, name, cwd=folder)
        assert (run.returncode, run.stdout) == (1, "")
        assert said in run.stderr


def test_links_of_a_line_and_other_names_of_a_note(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "tea.md": "---\naliases: [Cha, Camellia sinensis]\n---\n# Green tea\n\nSteep it.\n",
            "a.md": "[[tea]], [[tea#Milk]] and [[tea#Milk]] again; cha, and Camellia sinensis.\n",
        },
    )
    with Index(tmp_path / "i.db") as index:
        index.add(tmp_path, embed=False)
        links = index.links(str(tmp_path / "tea.md"))
    assert [(link.line, link.heading) for link in links.incoming] == [(1, ""), (1, "Milk")]
    assert [mention.text for mention in links.mentions] == ["cha"]


def test_a_file_without_links_says_so(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "alone.md").write_text("Nothing but words.\n", "utf-8")
    qrank("index", "alone.md", "--no-embed", "--db", "i.db")
    run = qrank("links", "alone.md", "--db", "i.db")
    assert (run.returncode, run.stdout) == (1, "")
    assert "alone.md has no links" in run.stderr


@pytest.mark.parametrize(
    ("text", "suffix", "targets"),
    [
        ("[[a]] [[b|c]] [[d#e|f]] ![[g.png]] [[h^i]]", "md", ["a", "b", "d", "g.png", "h"]),
        ("| [[a\\|b]] | [[c]] |", "md", ["a", "c"]),
        ("[a](<b c.md>) ![d](e(1).png) [f](mailto:x@y) [g](#h)", "md", ["b c.md", "e(1).png"]),
        ("`` [[a]] `` [[b]] ~~~", "md", ["b"]),
        ("~~~\n[[a]]\n~~~\n[[b]]", "md", ["b"]),
        ("[x [y]](a.md)", "md", ["a.md"]),
        ("[[./a.org][b]] [[id:1][c]] [[d.png]]", "org", ["./a.org", "d.png"]),
        (".. _t: a.rst\n.. image:: b.png\n`x <https://y>`_", "rst", ["a.rst", "b.png"]),
        ("<A HREF=a.html> <img alt='' src=\"b.png\"> <a name=x>", "html", ["a.html", "b.png"]),
        ("[[a]]", "py", []),
    ],
)
def test_links_are_read_as_the_markup_has_them(text: str, suffix: str, targets: list[str]) -> None:
    assert [link.target for link in links(text, suffix)] == targets
    assert all(text[link.start : link.end].strip() for link in links(text, suffix))


def test_hostile_texts_are_read_in_linear_time() -> None:
    for text in ("[" * 50_000, "[[a" * 20_000, "](" * 50_000, "`" * 50_000, "[a](b" * 20_000):
        links(text, "md")
        links(text, "rst")
        links(text, "org")
    links("<a " * 50_000, "html")
    links("<!--" * 50_000, "html")
