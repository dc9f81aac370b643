"""Archives of documents, with --archives: their members are found, cited, updated."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Run, complaint

from qrank.errors import ExtractError, NoTextError
from qrank.ingest.extract import containers, documents
from qrank.results import Document
from qrank.settings import Reading

READING = Reading(archives=True)
NOTE = b"# Birds\n\nThe kestrel was seen.\n"
PAGE = b"<title>Owls</title><p>A merlin sat there.</p>"


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def read(name: str, data: bytes) -> list[Document]:
    return list(documents(io.BytesIO(data), name, READING))


def named(found: list[Document]) -> dict[str, str]:
    """The text of each member."""
    return {document.member: document.text for document in found if document.blocks}


def note_of(found: list[Document]) -> str:
    return found[-1].note


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.zip", zipped({"notes/a.md": NOTE, "b.html": PAGE})),
        ("a.tar", tarred({"notes/a.md": NOTE, "b.html": PAGE})),
        ("a.tar.gz", tarred({"notes/a.md": NOTE, "b.html": PAGE}, "w:gz")),
        ("a.tgz", tarred({"notes/a.md": NOTE, "b.html": PAGE}, "w:gz")),
        ("a.tar.bz2", tarred({"notes/a.md": NOTE, "b.html": PAGE}, "w:bz2")),
        ("a.tar.xz", tarred({"notes/a.md": NOTE, "b.html": PAGE}, "w:xz")),
    ],
)
def test_a_member_is_read_as_what_it_is(name: str, data: bytes) -> None:
    found = read(name, data)
    assert named(found) == {"notes/a.md": NOTE.decode(), "b.html": "A merlin sat there."}
    titles = {document.member: document.title for document in found}
    assert (titles["notes/a.md"], titles["b.html"]) == ("Birds", "Owls")


def test_archives_are_looked_into_when_that_is_asked_for(
    tmp_path: Path, qrank: Callable[..., Run]
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"notes/a.md": NOTE, "b.html": PAGE, "logo.bin": b"\0\1"}))
    (tmp_path / "plain.txt").write_text("A plain text on owls.\n", "utf-8")

    def index(*options: str) -> Any:
        run = qrank("index", ".", "--no-embed", "--json", *options, QRANK_DB="i.db")
        return run.json()

    def found(word: str, *options: str) -> list[Any]:
        words = ("search", word, "--mode", "bm25", "--jsonl", *options)
        return qrank(*words, QRANK_DB="i.db").lines()

    [problem] = index()["errors"]
    assert "--archives" in problem["reason"]
    report = index("--archives")
    assert (report["files"]["added"], report["files"]["unchanged"]) == (1, 1)
    [problem] = report["errors"]
    assert problem["partly"]
    assert problem["reason"] == "logo.bin: binary file"
    [kestrel] = found("kestrel")
    assert (kestrel["path"], kestrel["member"]) == (str(path), "notes/a.md")
    assert (kestrel["title"], kestrel["heading"], kestrel["start_line"]) == ("Birds", "Birds", 1)
    text = qrank("search", "kestrel", "--mode", "bm25", QRANK_DB="i.db").stdout
    assert "a.zip!/notes/a.md:1-3" in text
    assert [each["member"] for each in found("owls", "--path", "*.html")] == ["b.html"]
    assert found("owls", "--path", "a.zip!/notes/*") == []
    assert qrank("get", kestrel["id"], QRANK_DB="i.db").stdout.strip() == NOTE.decode().strip()
    for place in (kestrel["id"], "a.zip!/notes/a.md:1-3"):
        assert qrank("open", place, QRANK_DB="i.db").stdout == "a.zip!/notes/a.md:1\n"
    said = complaint(qrank("open", "a.zip!/none.md", QRANK_DB="i.db"))
    assert "is not in the index" in said
    like = qrank("similar", "a.zip!/notes/a.md", "--mode", "bm25", QRANK_DB="i.db")
    assert like.returncode in (0, 1), like
    lines = qrank("chunks", "a.zip", "--archives", "--jsonl").lines()
    assert [line["member"] for line in lines] == ["notes/a.md", "b.html"]
    # Asked for once, it is kept up to date.
    assert index()["files"]["unchanged"] == 2
    path.write_bytes(zipped({"notes/a.md": NOTE.replace(b"kestrel", b"goshawk")}))
    assert found("kestrel")[0]["stale"]
    assert index()["files"]["updated"] == 1
    assert found("kestrel") == found("merlin") == []
    assert found("goshawk")[0]["member"] == "notes/a.md"
    path.unlink()
    assert index()["files"]["removed"] == 1
    assert found("goshawk") == []


def test_names_are_labels_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("../../out.md", "/etc/out.md", "C:\\out.md", "a\\b.md", "out.md", ".git/x.md")
    assert list(named(read("a.zip", zipped(dict.fromkeys(names, NOTE))))) == [
        *("out.md", "etc/out.md", "out.md (2)", "a/b.md", "out.md (3)")
    ]
    with_link = io.BytesIO(tarred({"../a.md": NOTE}))
    with tarfile.open(fileobj=with_link, mode="a") as archive:
        link = tarfile.TarInfo("link.md")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert list(named(read("a.tar", with_link.getvalue()))) == ["a.md"]
    assert list(tmp_path.iterdir()) == []


def test_names_in_other_encodings() -> None:
    data = zipped({"Vogelf\u00e4nger.md": NOTE})
    raw = "Vogelf\u00e4nger.md".encode()
    flagged = int.from_bytes(data[6:8], "little")
    assert flagged & 0x800
    assert list(named(read("a.zip", data))) == ["Vogelf\u00e4nger.md"]
    info = zipfile.ZipFile(io.BytesIO(data)).infolist()[0]
    start = data.index(b"PK\1\2")
    unflagged = data[:6] + b"\0\0" + data[8 : start + 8] + b"\0\0" + data[start + 10 :]
    assert info.filename == "Vogelf\u00e4nger.md"
    assert list(named(read("a.zip", unflagged))) == ["Vogelf\u00e4nger.md"]
    old = "Vogelf\u00e4nger.md".encode("cp437")
    dos = unflagged.replace(raw, old + b"x")  # as long as before
    assert list(named(read("a.zip", dos))) == ["Vogelf\u00e4nger.mdx"]


def test_what_can_t_be_read_of_an_archive_is_said_and_costs_nothing_else() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("locked.md", "a.md", "broken.pdf", "deploy/.env", "id_rsa"):
            archive.writestr(name, b"%PDF-1.7\n\0\1\2" if name == "broken.pdf" else NOTE)
        archive.getinfo("locked.md").flag_bits |= 1
    found = read("a.zip", out.getvalue())
    assert list(named(found)) == ["a.md"]
    said = note_of(found)
    assert "locked.md: encrypted" in said
    assert "broken.pdf: truncated at byte 12" in said
    assert "id_rsa: an SSH key" in said
    with pytest.raises(NoTextError, match=r"x\.bin: binary file"):
        read("a.zip", zipped({"x.bin": b"\0"}))
    with pytest.raises(ExtractError, match="not an archive"):
        read("a.tar", b"no such thing" * 100)


def test_a_truncated_archive_gives_what_it_holds() -> None:
    members = {f"{i}.md": NOTE + bytes(str(i), "ascii") * 3000 for i in range(9)}
    data = tarred(members)
    found = read("a.tar", data[: len(data) // 2])
    assert list(named(found))[:4] == ["0.md", "1.md", "2.md", "3.md"]
    assert "damaged: what follows file" in note_of(found)
    cut_in_header = data[: data.index(b"4.md") + 100]
    found = read("a.tar", cut_in_header)
    assert list(named(found)) == ["0.md", "1.md", "2.md", "3.md"]
    assert "damaged: what follows file 4 is lost" in note_of(found)


def test_archives_in_archives_are_read_and_not_for_ever() -> None:
    data = zipped({"a.md": NOTE})
    for depth in range(3):
        data = zipped({f"{depth}.zip": data})
    with pytest.raises(NoTextError, match="more than 3 files deep"):
        read("a.zip", data)
    inner = zipped({"b.tar.gz": tarred({"a.md": NOTE}, "w:gz"), "c.md.gz": gzip.compress(NOTE)})
    assert list(named(read("a.zip", inner))) == ["b.tar.gz!/a.md", "c.md.gz"]


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MIN_BOMB", 1 << 20)
    monkeypatch.setattr(containers, "MAX_MEMBER", 8 << 20)
    bomb = {"a.md": NOTE, "large.md": bytes(9 << 20), "b.md": NOTE, "c.md": b" " * (3 << 20)}
    found = read("a.zip", zipped(bomb))
    assert list(named(found)) == ["a.md"]
    assert "from large.md on" in note_of(found)
    lying = zipped({"a.md": NOTE, "b.md": bytes(2 << 20)})
    at = lying.rindex(b"PK\1\2")
    lying = lying[: at + 24] + (9).to_bytes(4, "little") + lying[at + 28 :]
    assert list(named(read("a.zip", lying))) == ["a.md"]
