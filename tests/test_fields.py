"""Fields of documents, rows and messages: filters with --where and in queries, and lists."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Run, complaint

from qrank import Index
from qrank.analysis.fields import date_span, values

Qrank = Callable[..., Run]
MBOX = """From x Mon Jan  5 10:00:00 2026
From: Jane Smith <jane@x.org>
Date: Mon, 5 Jan 2026 10:00:00 +0100
Subject: tram one

about the tram

From y Tue Jun  9 10:00:00 2026
From: Bob <bob@x.org>
Date: Tue, 9 Jun 2026 10:00:00 +0200
Subject: tram two

about another tram
"""
FILES = {
    "notes/lisbon.md": "---\ntitle: Lisbon\ntags: [travel, Food & Drink]\ndate: 2026-06-03\n"
    "rating: 4\nauthor: Jane Smith\ndraft: true\n---\n# Lisbon\nThe tram by the river.\n",
    "notes/budget.md": "---\ntags: [work]\ndate: 2026-05-30\nrating: 2\n---\nThe tram budget.\n",
    "notes/plain.md": "# A plain tram\n",
    "prices.csv": "name,city,price,when\ntram ticket,Lisbon,3.5,2026-06-01\n"
    "tram pass,Porto,10,2026-07-01\n",
    "rows.jsonl": '{"text": "tram in a row", "lang": "pt", "by": {"name": "Ada"}, '
    '"tags": ["a|b"]}\n',
    "box.mbox": MBOX,
}
PLACES = {  # what a search for trams finds, by name
    "lisbon": "notes/lisbon.md",
    "budget": "notes/budget.md",
    "plain": "notes/plain.md",
    "ticket": "prices.csv:2",
    "pass": "prices.csv:3",
    "row": "rows.jsonl:1",
    "one": "box.mbox:2",
    "two": "box.mbox:9",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fields")
    old = datetime(2020, 2, 2).timestamp()
    for name, text in FILES.items():
        path = made / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        os.utime(path, (old, old))
    return made


@pytest.fixture(scope="module")
def index(folder: Path) -> Iterator[Index]:
    with Index(folder / "i.db") as made:
        made.add(folder, embed=False)
        yield made


@pytest.fixture(scope="module")
def trams(index: Index, folder: Path) -> Callable[..., set[str]]:
    """A search for trams; returns the names of what it found."""

    def found(query: str = "tram", **options: object) -> set[str]:
        names = set()
        for result in index.search(query, mode="bm25", limit=20, **options):  # type: ignore[arg-type]
            place = str(Path(result.path).relative_to(folder))
            lines = {place, f"{place}:{result.start_line}"}
            names |= {name for name, known in PLACES.items() if known in lines}
        return names

    return found


EVERY = set(PLACES)
NO_TAGS = EVERY - {"lisbon", "budget", "row"}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("tags=travel", {"lisbon"}),
        ("tag=TRAVEL", {"lisbon"}),
        ("tags = food & drink", {"lisbon"}),
        ("tags=travel|work", {"lisbon", "budget"}),
        ("tags=a\\|b", {"row"}),
        ("tags~drink", {"lisbon"}),
        ("tags?", {"lisbon", "budget", "row"}),
        ("tags!=work", EVERY - {"budget"}),
        ("rating>2", {"lisbon"}),
        ("rating>=2", {"lisbon", "budget"}),
        ("rating<4", {"budget"}),
        ("rating=3..5", {"lisbon"}),
        ("price<=3.5", {"ticket"}),
        ("price=3..", {"ticket", "pass"}),
        ("date>=2026-06", {"lisbon", "two"}),
        ("date>2026-06", set()),
        ("date=2026-05", {"budget"}),
        ("date<=2026-01-05", {"one"}),
        ("date=2026-01..2026-05", {"one", "budget"}),
        ("date=2026", {"lisbon", "budget", "one", "two"}),
        ("when=2026-07", {"pass"}),
        ("author~smith", {"lisbon", "one"}),
        ("from~bob", {"two"}),
        ("draft=true", {"lisbon"}),
        ("by.name=Ada", {"row"}),
        ("lang=pt|en", {"row"}),
        ("city=lisbon", {"ticket"}),
        ("type=mail", {"one", "two"}),
        ("ext=csv|jsonl", {"ticket", "pass", "row"}),
        ("path=notes/", {"lisbon", "budget", "plain"}),
        ("path~BOX", {"one", "two"}),
        ("size<30", {"plain"}),
        ("size>=1k", set()),
        ("mtime<2020-02", set()),
        ("mtime=2020-02-02", EVERY),
        ("title~lisbon", {"lisbon"}),
    ],
)
def test_a_condition_holds(
    trams: Callable[..., set[str]], condition: str, expected: set[str]
) -> None:
    assert trams(where=condition) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tram tag:travel", {"lisbon"}),
        ("tag:travel tram", {"lisbon"}),
        ("tram -tag:travel", EVERY - {"lisbon"}),
        ('tram author:"Jane Smith"', {"lisbon", "one"}),
        ("tram author:smith", {"lisbon", "one"}),
        ("tram author:smi", set()),
        ("tram ext:csv", {"ticket", "pass"}),
        ("tram type:mail", {"one", "two"}),
        ("tram path:notes/", {"lisbon", "budget", "plain"}),
        ("tram date:2026-05", {"budget"}),
        ("tram path:notes/ rating:4", {"lisbon"}),
        ("tram nofield:x", EVERY),  # words
        ("tram http://x 10:30 std::map", EVERY),
        ("tram tag: travel", EVERY),
    ],
)
def test_a_query_may_name_fields(
    trams: Callable[..., set[str]], query: str, expected: set[str]
) -> None:
    assert trams(query) == expected


def test_all_conditions_must_hold(trams: Callable[..., set[str]]) -> None:
    assert trams(where=["date>=2026", "author~smith"]) == {"lisbon", "one"}
    assert trams("tram tag:travel", where="rating<3") == set()
    assert trams(where="tags!=work", path="*/notes/*") == {"lisbon", "plain"}


def test_paths_types_and_dates(qrank: Qrank, folder: Path, index: Index) -> None:
    def found(*words: str) -> set[str]:
        words = ("search", "tram", "--mode", "bm25", "--format", "{path}", *words)
        run = qrank(*words, "--db", folder / "i.db", cwd=folder)
        return {Path(path).name for path in run.stdout.split()}

    assert found("--path", "notes", "--path", "*.csv") == {
        *("lisbon.md", "budget.md", "plain.md", "prices.csv")
    }
    assert len(found("--path", ".")) == len(FILES)
    assert found("--type", "spreadsheet", "--where", "city=porto") == {"prices.csv"}
    assert found("--since", "2026-06", "--until", "2026-06-09") == {"lisbon.md", "box.mbox"}
    # What says no date of its own is of the day it was modified.
    assert found("--until", "2020-02-02") == {"plain.md", "prices.csv", "rows.jsonl"}
    assert found("--since", "yesterday") == set()


def test_results_say_the_fields_of_their_row(qrank: Qrank, folder: Path, index: Index) -> None:
    run = qrank("search", "tram pass", "--db", folder / "i.db", "--mode", "bm25", "--jsonl")
    by_line = {(Path(r["path"]).name, r["start_line"]): r["fields"] for r in run.lines()}
    assert by_line["prices.csv", 3]["city"] == "Porto"
    assert by_line["prices.csv", 2]["city"] == "Lisbon"
    assert by_line["box.mbox", 9]["from"] == "Bob <bob@x.org>"
    assert by_line["rows.jsonl", 1] == {"lang": "pt", "by.name": "Ada", "tags": ["a|b"]}


def test_results_come_by_date_by_path_and_by_pages(
    qrank: Qrank, folder: Path, index: Index
) -> None:
    words = ("search", "tram", "--db", folder / "i.db", "--mode", "bm25")
    whole = qrank(*words, "--jsonl").lines()
    paged = [
        result
        for offset in range(0, 9, 3)
        for result in qrank(*words, "--jsonl", "-n", "3", "--offset", offset).lines()
    ]
    assert paged == whole
    assert [result["rank"] for result in paged] == list(range(1, 9))
    by_path = qrank(*words, "--sort", "path", "--format", "{path}").stdout.split()
    assert by_path == sorted(by_path)
    by_date = [r["path"] for r in qrank(*words, "--sort", "date", "--jsonl").lines()]
    assert [Path(p).name for p in by_date[:4]] == [
        *("box.mbox", "lisbon.md", "budget.md", "box.mbox")
    ]


def test_fields_are_listed_with_their_values(qrank: Qrank, folder: Path, index: Index) -> None:
    db = folder / "i.db"
    found = {f["name"]: f for f in qrank("fields", "--db", db, "--json").json()["fields"]}
    assert (found["tags"]["records"], found["tags"]["distinct"]) == (3, 4)
    assert found["rating"]["kinds"] == ["number"]
    assert found["date"]["kinds"] == ["date"]
    run = qrank("fields", "--db", db, "--where", "tags=travel")
    assert "author" in run.stdout
    assert "city" not in run.stdout
    assert qrank("fields", "city", "--db", db).stdout == "1\tLisbon\n1\tPorto\n"
    assert qrank("fields", "city", "--db", db, "--where", "price>5").stdout == "1\tPorto\n"
    assert qrank("fields", "city", "--db", db, "--path", "notes").returncode == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("search", "tram", "--where", "tagz=x"), "there is no field 'tagz'; there are: author"),
        (("search", "tram", "--where", "tags"), "is not a valid condition; write FIELD=VALUE"),
        (("search", "tram", "--where", "=x"), "is not a valid condition"),
        (("search", "tram", "--where", "author!~x"), "there is no operator !~; of the operators"),
        (("search", "tram", "--where", "tags="), "has no value"),
        (("search", "tram", "--where", "author>2026-06"), "has texts"),
        (("search", "tram", "--where", "date>=soon"), "'soon' is no date; date has: "),
        (("search", "tram", "--where", "date=2026-13"), "'2026-13' is no date; date has: "),
        (("search", "tram", "--where", "date!=soon|2026"), "'soon' is no date; date has: "),
        (("search", "tram", "--where", "date=2026-07..2026-02"), "2026-07 comes after 2026-02"),
        (("search", "tram", "--where", "rating=4..2"), "4 comes after 2; a range goes from the"),
        (("search", "tram", "--where", "size=2k..1k"), "2k comes after 1k"),
        (("search", "tram", "--where", "mtime=today..yesterday"), "comes after yesterday"),
        (("search", "tram", "--since", "2026-07", "--until", "2026-01"), "nothing is dated from"),
        (("search", "tram", "--where", "rating=high"), "'high' is no number; rating has: "),
        (("search", "tram", "--where", "rating>=high"), "'high' is no number; rating has: "),
        (("search", "tram", "--where", "size>big"), "'big' is not a size such as 10k"),
        (("search", "tram", "--where", "type>pdf"), "type can't be compared by >"),
        (("search", "tram", "--since", "soon"), "--since takes a date, not 'soon'"),
        (("search", "tram", "--sort", "size"), "--sort"),
        (("fields", "nothing"), "there is no field 'nothing'; there are: "),
    ],
)
def test_bad_conditions_are_explained(
    qrank: Qrank, folder: Path, index: Index, words: tuple[str, ...], said: str
) -> None:
    assert said in complaint(qrank(*words, "--db", folder / "i.db"))


def test_a_condition_that_nothing_meets_says_what_there_is(
    qrank: Qrank, folder: Path, index: Index
) -> None:
    for condition, said in (
        ("city=Paris", "nothing indexed has --where 'city=Paris'; city has: Lisbon, Porto"),
        ("date=1999", "; date has: "),
        ("type=foo", "; type is one of archive, "),
        ("language=xx", "; language is one of "),
        ("size>1g", "nothing indexed has --where 'size>1g'\n"),
    ):
        run = qrank("search", "tram", "--where", condition, "--db", folder / "i.db")
        assert (run.returncode, run.stdout) == (1, "")
        assert said in run.stderr
        assert len(run.stderr.splitlines()) == 1


def test_results_that_were_all_passed_over(qrank: Qrank, folder: Path, index: Index) -> None:
    ask = ("search", "--mode", "bm25", "--db", folder / "i.db", "--offset")
    said = qrank(*ask, "5", "river").stderr
    assert said == "qrank: no result comes after the first 5: there are 1 (--offset)\n"
    assert "--offset" in qrank(*ask, "999", "--where", "size>0").stderr
    assert "is empty; name an indexed" in complaint(qrank(*ask, "0", "river", "--links-to", ""))


def test_fields_follow_their_files(qrank: Qrank, tmp_path: Path) -> None:
    """What is changed, removed, exported and imported takes its fields with it."""
    note, db, other = tmp_path / "a.md", tmp_path / "i.db", tmp_path / "o.db"

    def names(path: Path) -> list[str]:
        return [f["name"] for f in qrank("fields", "--db", path, "--json").json()["fields"]]

    note.write_text("---\nmood: calm\n---\ntext\n", "utf-8")
    (tmp_path / "b.csv").write_text("x,y\n1,one\n2,two\n", "utf-8")
    qrank("index", tmp_path, "--db", db, "--no-embed")
    assert names(db) == ["x", "y", "mood"]
    lines = qrank("export", "--db", db).stdout
    assert qrank("import", "-", "--db", other, stdin=lines).returncode == 0
    assert names(other) == names(db)
    found = qrank("search", "two", "--where", "x=2", "--db", other, "--mode", "bm25", "--jsonl")
    assert [result["text"] for result in found.lines()] == ["x: 2\ny: two"]
    note.write_text("---\nweather: rain\n---\ntext\n", "utf-8")
    (tmp_path / "b.csv").unlink()
    qrank("index", tmp_path, "--db", db, "--no-embed")
    assert names(db) == ["weather"]
    assert qrank("doctor", "--index", "--db", db).returncode == 0


@pytest.mark.parametrize("count", [5, 3000])
def test_filters_that_let_few_or_many_pass(qrank: Qrank, tmp_path: Path, count: int) -> None:
    """Few are listed before the search, many are tried after it: both find the same."""
    rows = "".join(f"tea number {i},{i % 5},{i}\n" for i in range(6000))
    (tmp_path / "t.csv").write_text(f"what,group,n\n{rows}", "utf-8")
    qrank("index", tmp_path / "t.csv", "--db", "i.db", "--no-embed")
    words = ("search", "tea", "--where", f"n<{count}", "--where", "group!=0", "--db", "i.db")
    run = qrank(*words, "--mode", "bm25", "-n", "6000", "--jsonl")
    found = {int(result["fields"]["n"]) for result in run.lines()}
    assert found == {i for i in range(count) if i % 5}


def test_relative_dates() -> None:
    now = datetime(2026, 3, 31, 15, 30)
    day = timedelta(days=1).total_seconds()
    for text, start in (
        ("today", datetime(2026, 3, 31)),
        ("yesterday", datetime(2026, 3, 30)),
        ("2w", datetime(2026, 3, 17)),
        ("1 month ago", datetime(2026, 2, 28)),
        ("1y", datetime(2025, 3, 31)),
    ):
        span = date_span(text, now)
        assert span is not None
        assert span[0] == start.timestamp()
        assert abs(span[1] - span[0] - day) <= 3600  # the clocks may be changed
    assert date_span("2x", now) is None


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=20),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=250),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
            max_leaves=10,
        ),
        max_size=10,
    )
)
def test_fields_of_any_kind_have_values(fields: dict[str, object]) -> None:
    found = values(fields)
    assert len({(value.name, value.folded) for value in found}) == len(found)
    for value in found:
        assert value.name
        assert value.text
        assert (value.number is None) == (value.kind in ("text", "truth"))
