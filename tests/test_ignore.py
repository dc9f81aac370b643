"""Ignore rules are git's: compared with git itself."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, complaint

from qrank.ingest.ignore import RuleFile, parse
from qrank.ingest.walk import Skipped, walk
from qrank.settings import WALK_ALL, Walking

Qrank = Callable[..., Run]
TREES = int(os.environ.get("QRANK_TREES", "300"))

FOLDERS = ["a", "b", "ab", "docs", "Docs", "x y", "src", "é"]
FILES = ["a", "b", "a.md", "b.md", "A.MD", "ab.txt", "a1.md", "[a].md", "#a", "!b", "x y", "x "]
FILES += ["é.md", "a\\b", "a*", "-"]
PIECES = ["\\ ", " ", "\t", *"* ** ? / / / **/ /** /**/ ! \\ \\* # *** \\a \\/ - ] {a,b}".split()]
PIECES += (
    "a b ab docs md .md . A é 1 [ab] [!a] [^a-c] [a-c] [A-C] []a] [a- [c-a] [\\]a] [/] [".split()
)
PIECES += "[[:digit:]] [[:alpha:]-] [[:upper:]] [[:punct:]] [[:nope:]] [[:a] [a-\\c] [é]".split()
CHARACTERS = [*"abABC1/// .*[]-\\!", "é", "md", ".md", "docs", "ab"]
RULES = [
    "# none",
    "x ",
    "x\\ ",
    "\ufeffa",
    *"* !*/ !*.md /* !/docs docs/** !docs/**/*.md **/a".split(),
]
RULES += (
    "a/**/b *.md /a a/ !a/ */ ** /** !**/a.md \\#a \\!b *.[a-Z] é* ?.md docs/ !docs/a.md".split()
)
RULES += "docs/* !docs/b a**/b a/b**/a a?/** [[:digit:]] a[[:digit:]].md".split()


def git(folder: Path, *words: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        ["git", "-C", folder, *words], check=True, capture_output=True, input=stdin
    )
    return done.stdout


@pytest.fixture
def no_git_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))


def rule(random_: random.Random) -> str:
    if random_.random() < 0.5:
        return random_.choice(RULES)
    return "".join(random_.choices(PIECES, k=random_.randint(1, 6)))


def rules(random_: random.Random) -> bytes:
    ends = random_.choice(["\n", "\n", "\r\n"])
    text = "".join(rule(random_) + ends for _ in range(random_.randint(1, 5)))
    bom = b"\xef\xbb\xbf" if random_.random() < 0.1 else b""
    return bom + text[: -len(ends) if random_.random() < 0.3 else None].encode()


def make_tree(top: Path, random_: random.Random) -> None:
    folders = [top]
    for _ in range(random_.randint(2, 7)):
        folder = random_.choice(folders) / random_.choice(FOLDERS)
        folder.mkdir(exist_ok=True)
        folders.append(folder)
    for folder in folders:
        for name in random_.sample(FILES, random_.randint(1, 7)):
            if not (folder / name).is_dir():
                (folder / name).write_text("x", "utf-8")
    (top / ".gitignore").write_bytes(rules(random_))
    for folder in random_.sample(folders, min(2, len(folders))):
        (folder / ".gitignore").write_bytes(rules(random_))
    (top / ".git" / "info").mkdir(exist_ok=True)
    if random_.random() < 0.3:
        (top / ".git" / "info" / "exclude").write_bytes(rules(random_))
    if random_.random() < 0.3:
        excludes = top.parent / f"{top.name} excludes"
        excludes.write_bytes(rules(random_))
        git(top, "config", "core.excludesFile", str(excludes))
    git(top, "config", "core.ignorecase", random_.choice(["false", "false", "true"]))


def listed(top: Path) -> set[str]:
    """What git does not ignore, without hidden files."""
    found = git(top, "ls-files", "-o", "-z", "--exclude-standard").split(b"\0")
    return {
        name.decode() for name in found if name and not name.startswith(b".") and b"/." not in name
    }


def walked(root: Path, walking: Walking = WALK_ALL) -> set[str]:
    skipped: list[Skipped] = []
    found = {
        Path(file.path).relative_to(root).as_posix()
        for file in walk([root], walking, skipped.append)
    }
    assert not [each for each in skipped if each.kind == "unread"]
    return found


@pytest.mark.usefixtures("no_git_of_the_user")
@pytest.mark.parametrize("fold", [False, True])
def test_each_pattern_matches_what_it_does_for_git(tmp_path: Path, fold: bool) -> None:
    """Thousands of patterns, each the ignore file of a folder of its own, in one run of git."""
    random_ = random.Random(1)
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "core.ignorecase", str(fold).lower())
    asked: list[str] = []
    files: list[RuleFile] = []
    for number in range(1500):
        line = "".join(random_.choices(PIECES, k=random_.randint(1, 7))).encode()
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / ".gitignore").write_bytes(line + b"\n")
        parsed = parse(line, 1, fold=fold)
        files.append(RuleFile("", f"/{number}", [parsed] if parsed else [], of_git=True, fold=fold))
        for _ in range(20):
            parts = "".join(random_.choices(CHARACTERS, k=random_.randint(1, 9))).split("/")
            if path := "/".join(part for part in parts if part.strip(".")):
                asked.append(f"{number}/{path}")
    words = ("check-ignore", "--no-index", "--stdin", "-zvn")
    said = git(tmp_path, *words, stdin="\0".join(asked).encode()).split(b"\0")[:-1:4]
    matched = 0
    for path, source in zip(asked, said, strict=True):
        number, *parts = path.split("/")
        matched += bool(source)
        hit = None
        for end in range(1, len(parts) + 1):
            place = "/".join(["", number, *parts[:end]]).encode()
            hit = files[int(number)].last_match(place, is_folder=end < len(parts))
            if hit and not hit.includes:  # a folder that is ignored, say
                break
        assert bool(hit) == bool(source), (path, (tmp_path / number / ".gitignore").read_bytes())
    assert matched > 500


@pytest.mark.parametrize(
    "rule",
    [
        *("*a" * 12 + "*b", "a/**/" * 12 + "b", "**/*a*a*a*a*a*a*/**/*b", "a**/" * 50 + "b"),
        *("*" * 30_000 + "b", "**/" * 3000 + "b", "?*" * 500 + "b", "[" * 30_000, "\\*" * 9000),
    ],
)
def test_a_rule_with_many_stars_takes_no_hours(qrank: Qrank, tmp_path: Path, rule: str) -> None:
    deep = tmp_path / "notes" / "/".join(["a"] * 200)
    deep.mkdir(parents=True)
    (tmp_path / "notes" / ".gitignore").write_text(f"{rule}\n", "utf-8")
    (deep / ("a" * 250)).write_text("The note.\n", "utf-8")
    run = qrank("index", "notes", "--no-embed", "--db", "i.db", "--json")
    assert run.json()["files"]["added"] == 1


@pytest.mark.usefixtures("no_git_of_the_user")
def test_what_is_ignored_is_what_git_ignores(tmp_path: Path) -> None:
    kept = left = 0
    for seed in range(TREES):
        top = tmp_path / str(seed)
        top.mkdir()
        git(top, "init", "-q")
        make_tree(top, random.Random(seed))
        found, expected = walked(top), listed(top)
        kept += len(expected)
        left += len(walked(top, Walking(ignore=False))) - len(expected)
        ignore = {str(path.relative_to(top)): path.read_bytes() for path in top.rglob(".gitignore")}
        assert found == expected, (seed, found - expected, expected - found, ignore)
    assert kept > 5 * TREES
    assert left > 5 * TREES


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("Steep the tea.\n", "utf-8")


def repository(top: Path, *paths: str) -> None:
    """A repository whose first commit holds paths."""
    make(top, *paths)
    git(top, "init", "-q")
    git(top, "add", ".")
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    git(top, *who, "commit", "-q", "-m", "first", "--allow-empty")


@pytest.mark.usefixtures("no_git_of_the_user")
def test_a_linked_working_tree_has_the_rules_of_its_repository(tmp_path: Path) -> None:
    main, linked = tmp_path / "main", tmp_path / "linked"
    repository(main, "a.md", "sub/b.md")
    git(main, "worktree", "add", "-q", str(linked))
    (main / ".git/info/exclude").write_text("*.tmp\n/sub/*.log\n", "utf-8")
    (tmp_path / "excludes").write_text("*.old\n", "utf-8")
    git(main, "config", "core.excludesFile", str(tmp_path / "excludes"))
    git(main, "config", "core.ignorecase", "true")
    make(linked, "c.tmp", "D.TMP", "sub/e.log", "e.log", "f.old")
    assert walked(linked) == {"a.md", "sub/b.md", "e.log"}
    assert walked(linked / "sub") == {"b.md"}
    git(main, "config", "extensions.worktreeConfig", "true")
    git(linked, "config", "--worktree", "core.ignorecase", "false")
    assert walked(linked) == {"a.md", "sub/b.md", "e.log", "D.TMP"}


@pytest.mark.usefixtures("no_git_of_the_user")
def test_a_submodule_is_read_by_its_own_rules(tmp_path: Path) -> None:
    repository(tmp_path / "library", "a.md", "b.log")
    repository(tmp_path / "main", "c.md")
    main = tmp_path / "main"
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    git(main, *add, str(tmp_path / "library"), "library")
    make(main, "library/d.tmp", "e.log")
    (main / ".gitignore").write_text("*.log\n", "utf-8")
    (main / ".git/modules/library/info/exclude").write_text("*.tmp\n", "utf-8")
    assert walked(main) == {"c.md", "library/a.md", "library/b.log"}
    (main / ".qrankignore").write_text("*.log\n", "utf-8")  # not git's: it holds in both
    assert walked(main) == {"c.md", "library/a.md"}


def test_a_working_tree_within_its_repository_is_skipped_and_said(
    qrank: Qrank, tmp_path: Path
) -> None:
    repository(tmp_path / "main", "a.md", "sub/b.md")
    git(tmp_path / "main", "worktree", "add", "-q", "sub/copy")
    words = ("index", "main", "--no-embed", "--db", "i.db")
    run = qrank(*words, "--json")
    assert run.json()["files"]["added"] == 2
    assert run.json()["files"]["skipped"] == 1
    assert "skipped main/sub/copy: another working tree" in run.stderr.replace(
        "left out", "skipped"
    )
    assert "sub/copy" not in qrank(*words).stderr  # what was said once is counted
    run = qrank("index", "main/sub", "--no-ignore", "--no-embed", "--db", "j.db", "--json")
    assert run.json()["files"]["added"] == 1
    run = qrank("index", "main/sub/copy", "--no-embed", "--db", "k.db", "--json")
    assert run.json()["files"]["added"] == 2
    (tmp_path / "main/.git/worktrees/copy").rename(tmp_path / "pruned")
    run = qrank("index", "main", "--no-embed", "--db", "l.db", "--json")
    assert run.json()["files"]["added"] == 2


def test_git_s_configuration_is_read_as_git_reads_it(
    qrank: Qrank, tmp_path: Path, environment: dict[str, str]
) -> None:
    home = Path(environment["HOME"])
    make(tmp_path, "n/a.md", "n/b.tmp", "n/C.TMP")
    (home / "my excludes").write_text("*.tmp\n", "utf-8")
    (home / "more").write_text('[core]\n\texcludesFile = "~/my \\\nexcludes"  # mine\n', "utf-8")
    (home / ".gitconfig").write_text("[include] path = more\n[alias]\n\tx\n", "utf-8")
    shown = ("chunks", "n", "--jsonl")
    assert {Path(hit["path"]).name for hit in qrank(*shown).lines()} == {"a.md", "C.TMP"}
    with (home / ".gitconfig").open("a", encoding="utf-8") as file:
        file.write("[Core] IgnoreCase\n")
    assert {Path(hit["path"]).name for hit in qrank(*shown).lines()} == {"a.md"}


@pytest.mark.parametrize("kind", ["fifo", "loop", "folder", "binary"])
def test_a_git_file_that_is_none_stops_nothing(qrank: Qrank, tmp_path: Path, kind: str) -> None:
    make(tmp_path, "n/a.md", "n/b.tmp")
    (tmp_path / "n/.gitignore").write_text("*.tmp\n", "utf-8")
    git_file = tmp_path / "n/.git"
    if kind == "fifo":
        os.mkfifo(git_file)
    elif kind == "loop":
        git_file.write_text("gitdir: .\n", "utf-8")
    elif kind == "folder":
        git_file.mkdir()
    else:
        git_file.write_bytes(b"gitdir: \0\xff\n")
    [hit] = qrank("chunks", "n", "--jsonl").lines()
    assert hit["path"].endswith("n/a.md")


GLOBS = [  # as ripgrep lists them, but for braces in braces and empty ones, which it has not
    ("*.{md,txt}", "a.md b.txt docs/e.md docs/[f].txt x{y}.txt"),
    ("{a,b}.*", "a.md b.txt"),
    ("*.{m{d,x},log}", "a.md c.log docs/e.md"),
    ("{docs/*,*.txt}", "b.txt docs/e.md docs/[f].txt x{y}.txt"),
    ("{docs/,a}*", "a.md docs/e.md docs/[f].txt"),
    ("docs/{e,f}.md", "docs/e.md"),
    ("{,x}a.md", "a.md"),
    ("!*.{md,log}", "b.txt docs/[f].txt x{y}.txt"),
    ("x\\{y\\}.txt", "x{y}.txt"),
    ("x[{]y[}].txt", "x{y}.txt"),
    ("*[{,]*", "x{y}.txt"),
    ("docs", ""),
    ("!docs", "a.md b.txt c.log x{y}.txt"),
    ("a.md,b.txt", ""),
]


@pytest.mark.parametrize(("glob", "expected"), GLOBS)
def test_globs_take_braces(tmp_path: Path, glob: str, expected: str) -> None:
    make(tmp_path, "a.md", "b.txt", "c.log", "docs/e.md", "docs/[f].txt", "x{y}.txt")
    assert walked(tmp_path, Walking(globs=(glob,))) == set(expected.split())


@pytest.mark.parametrize(
    ("glob", "why"),
    [
        *(("*.{md", "a { has no }"), ("*.md}", "a } has no {"), ("[a{b,c}", "a [ has no ]")),
        *(
            ("{a,{b,c}", "a { has no }"),
            ("a\\", "a \\ has nothing behind it"),
            ("!", "it is empty"),
        ),
        ("{a,b}" * 40, "more than 1000 globs"),
    ],
)
def test_a_glob_that_is_none_is_said(qrank: Qrank, tmp_path: Path, glob: str, why: str) -> None:
    make(tmp_path, "n/a.md")
    said = complaint(qrank("index", "n", "-g", glob, "--no-embed", "--db", "i.db"))
    assert why in said
    assert repr(glob) in said
