"""What differs between systems: the rules for macOS and Windows, and that the rest needs no more
than each of them has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest
import yaml
from support import ROOT, Run

from qrank.cli.input import words
from qrank.cli.output import hyperlinks
from qrank.cli.shell import editor
from qrank.llama import cores
from qrank.names import (
    folder_key,
    is_under,
    over,
    path_globs,
    shown_path,
    spelled_as_on_disk,
    windows_slashes,
)

FILES = Path(__file__).parent / "files"
Qrank = Callable[..., Run]

NO_LIMITS = """
import sys
if 'qrank.ingest.worker' in ' '.join(sys.orig_argv):
    import resource
    def setrlimit(kind, limits):
        raise {error}
    resource.setrlimit = setrlimit
"""
EATS = """
    import zipfile
    def read(self, *words):
        held = []
        while True:
            held.append(b'x' * (1 << 24))
    zipfile.ZipFile.open = zipfile.ZipFile.read = read
"""


def customised(folder: Path, text: str) -> str:
    """A PYTHONPATH with a sitecustomize module of that text."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text, "utf-8")
    return str(folder)


@pytest.mark.parametrize("error", ["ValueError('not allowed')", "OSError(22, 'invalid')"])
def test_files_are_read_where_no_limit_can_be_set(qrank: Qrank, tmp_path: Path, error: str) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.py").write_text("def steep(tea):\n    return tea\n", "utf-8")
    for name in ("water.pdf", "water.html", "water.docx", "water.xlsx"):
        (folder / name).write_bytes((FILES / name).read_bytes())
    site = customised(tmp_path / "site", NO_LIMITS.format(error=error))
    words = ("index", "notes", "--no-embed", "--db", "i.db", "--json")
    run = qrank(*words, PYTHONPATH=site)
    assert run.json()["files"]["added"] == 5, run


def test_without_a_resource_module_files_are_read(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>oolong</p>", "utf-8")
    site = customised(tmp_path / "site", "import sys\nsys.modules['resource'] = None\n")
    run = qrank("chunks", "a.html", PYTHONPATH=site)
    assert (run.returncode, "oolong" in run.stdout) == (0, True), run


def test_memory_is_bounded_where_the_address_space_is_not(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes((FILES / "water.docx").read_bytes())
    site = customised(tmp_path / "site", NO_LIMITS.format(error="ValueError()") + EATS)
    run = qrank("chunks", "a.docx", PYTHONPATH=site)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "qrank: skipped a.docx: needs more than 768 MiB of memory\n"


def test_output_has_the_same_line_ends_everywhere(tmp_path: Path) -> None:
    """A stdout that makes "\\r\\n" of "\\n", as Python's has on Windows."""
    (tmp_path / "a.md").write_text("tea\n", "utf-8")
    script = (
        "import io, sys\n"
        "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'cp1252', newline='\\r\\n')\n"
        "sys.argv = ['qrank', 'chunks', 'a.md', '--json']\n"
        "from qrank.__main__ import main; main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, check=True
    )
    assert run.stdout.endswith(b"}\n")
    assert b"\r" not in run.stdout


def test_completions_need_no_newer_bash_than_macos_has(qrank: Qrank) -> None:
    script = qrank("completions", "bash").stdout
    code = "\n".join(line.partition(" #")[0] for line in script.splitlines())
    newer = ("mapfile", "readarray", "declare -A", "local -A", "local -n", "compopt", "|&", "&>>")
    assert [name for name in newer if name in code] == []
    assert not any(form in code for form in ("${COMP_WORDS[-1]}", ",,}", "^^}", "@Q}"))


def test_the_workflow_does_what_the_readme_says() -> None:
    path = ROOT / ".github" / "workflows" / "ci.yml"
    if not path.exists():
        pytest.skip("a distribution has no workflow")
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    actions = {step["uses"] for step in steps if "uses" in step}
    assert actions == {"actions/checkout@v5", "actions/setup-python@v6", "actions/cache@v4"}
    runs = [step.get("run", "").strip() for step in steps]
    assert ".ci/run" in runs  # Linux and macOS
    [on_windows] = [run for run in runs if "Scripts/pytest" in run]
    readme = (ROOT / "README.md").read_text("utf-8")
    commands = [
        part.strip().removeprefix("(").partition(" || ")[0].removeprefix(".venv/bin/")
        for heading in ("## Try it", "## Test it")
        for part in readme.split(heading)[1].split("```")[1].removeprefix("sh\n").split("&&")
        if ".venv/bin/" in part and "pip install" not in part
    ]
    assert len(commands) == 5
    for command in commands:
        assert f".venv/Scripts/{command}" in on_windows


# Windows


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        (PureWindowsPath(r"C:\notes\a.md"), "C:/notes/a.md"),
        (PureWindowsPath("c:/notes", "b", "a.md"), "C:/notes/b/a.md"),
        (PureWindowsPath("C:\\"), "C:/"),
        (PureWindowsPath(r"\\server\share\a.md"), "//server/share/a.md"),
        (PureWindowsPath(r"\\?\C:\notes\a.md"), "C:/notes/a.md"),
        (PureWindowsPath(r"\\?\UNC\server\share\a.md"), "//server/share/a.md"),
        (r"\\?\unc\server\share\a.md", "//server/share/a.md"),
        (r"\\.\c:\a.md", "C:/a.md"),
        (PureWindowsPath(r"notes\a.md"), "notes/a.md"),
        ("", ""),
    ],
)
def test_a_path_of_windows_is_stored_with_slashes(path: PurePath | str, stored: str) -> None:
    assert windows_slashes(str(path)) == stored
    assert windows_slashes(stored) == stored
    if stored and not str(path).startswith("\\\\"):  # the same file, when it is opened
        assert PureWindowsPath(stored) == PureWindowsPath(path)


def test_what_lies_under_a_folder_on_either_system() -> None:
    cases: list[tuple[PurePath, PurePath, bool]] = [
        (PurePosixPath("/a/b/c.md"), PurePosixPath("/a/b"), True),
        (PurePosixPath("/a/b"), PurePosixPath("/a/b"), True),
        (PurePosixPath("/a/bc"), PurePosixPath("/a/b"), False),
        (PurePosixPath("/a"), PurePosixPath("/a/b"), False),
        (PurePosixPath("/a/b"), PurePosixPath("/"), True),
        (PureWindowsPath(r"C:\a\b.md"), PureWindowsPath("C:\\"), True),
        (PureWindowsPath(r"C:\a\b.md"), PureWindowsPath(r"c:\a"), True),
        (PureWindowsPath(r"D:\a\b.md"), PureWindowsPath("C:\\"), False),
        (PureWindowsPath(r"C:\ab\b.md"), PureWindowsPath(r"C:\a"), False),
        (PureWindowsPath(r"\\s\share\b.md"), PureWindowsPath("\\\\s\\share\\"), True),
        (PureWindowsPath(r"\\s\share\b.md"), PureWindowsPath(r"\\s\other"), False),
        (PureWindowsPath(r"\\?\C:\a\b.md"), PureWindowsPath(r"C:\a"), True),
    ]
    for path, folder, expected in cases:
        windows = isinstance(path, PureWindowsPath)
        stored, above = (windows_slashes(str(p)) if windows else str(p) for p in (path, folder))
        assert is_under(stored, {folder_key(above)}) is expected, (path, folder)
    assert not is_under("a record's id", {folder_key("/")})


def test_looking_for_a_folder_takes_as_long_as_the_path_is_deep() -> None:
    asked: list[str] = []

    class Folders(frozenset[str]):
        def __contains__(self, name: object) -> bool:
            asked.append(str(name))
            return super().__contains__(name)

    many = Folders(f"/unreadable/{number}" for number in range(10_000))
    assert list(over("/unreadable/9999/a.md", many)) == ["/unreadable/9999"]
    assert len(asked) == 4


def test_a_name_is_spelled_as_the_disk_has_it(tmp_path: Path) -> None:
    (tmp_path / "Notes" / "Cafe\u0301").mkdir(parents=True)
    (tmp_path / "Notes" / "Cafe\u0301" / "Tea.md").write_text("tea", "utf-8")
    asked = f"{tmp_path}/NOTES/caf\u00e9/tea.MD"
    assert spelled_as_on_disk(asked) == f"{tmp_path}/Notes/Cafe\u0301/Tea.md"
    assert spelled_as_on_disk(f"{tmp_path}/notes/gone/A.md") == f"{tmp_path}/Notes/gone/A.md"
    assert spelled_as_on_disk("/") == "/"
    (tmp_path / "notes").mkdir()  # where both are there, each is itself
    assert spelled_as_on_disk(f"{tmp_path}/notes") == f"{tmp_path}/notes"


def test_globs_of_windows_are_those_of_stored_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qrank.names.WINDOWS", True)
    assert path_globs(r"C:\notes\*.md") == ("C:/notes/*.md",)
    assert path_globs(r"c:\notes") == ("C:/notes", "C:/notes/*")
    assert path_globs("notes\\") == ("*/notes", "*/notes/*")
    assert path_globs(r"\\server\share") == ("//server/share", "//server/share/*")
    assert shown_path(r"C:\a\b.md") == "C:/a/b.md"


def test_links_to_files_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hyperlinks.url_path("C:/a#b/ü.md") == "/C:/a%23b/%C3%BC.md"
    monkeypatch.setattr("qrank.cli.output.hyperlinks.WINDOWS", True)
    for name, url in (
        ("file", "file:///C:/a%20b.md"),
        ("vscode", "vscode://file/C:/a%20b.md:7:1"),
    ):
        assert hyperlinks.link(hyperlinks.checked(name), "C:/a b.md", 7) == url
    assert hyperlinks.link(hyperlinks.checked("file"), "//srv/x/a.md", 1) == "file:////srv/x/a.md"


@pytest.mark.skipif(os.name == "nt", reason="bytes of a name that are not UTF-8")
def test_a_link_has_the_bytes_of_the_name(tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + b"/caf\xe9.md"
    try:
        Path(os.fsdecode(place)).write_text("x", "utf-8")
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    assert hyperlinks.url_path(shown_path(os.fsdecode(place))).endswith("/caf%E9.md")


def test_editors_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "qrank.cli.shell.editor.split", lambda line: words.split(line, windows=True)
    )
    file = Path("a.md")
    for line, expected in (
        (r'"C:\Program Files\Microsoft VS Code\bin\code.cmd" -n', ["-n", "--goto", "a.md:3"]),
        (r"C:\Windows\notepad.exe", ["a.md"]),
        (r"C:\vim\gvim.exe", ["+3", "a.md"]),
    ):
        command = editor.arguments(line, editor.Place(file, 3))
        assert command[1:] == expected
        assert command[0] == line.removesuffix(" -n").strip('"')
    with pytest.raises(ValueError, match="quotation"):
        words.split('"C:\\x', windows=True)


# How many threads: what machines say of themselves


def test_apple_silicon_counts_performance_cores() -> None:
    m1_pro = "hw.perflevel0.physicalcpu: 8\nhw.physicalcpu: 10\n"
    assert cores.of_macos(m1_pro) == 8
    assert cores.of_macos("hw.physicalcpu: 4\n") == 4  # Intel: the first is an unknown oid
    assert cores.of_macos("") == 0


def machine(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n", "ascii")
    return folder


SIBLINGS = "system/cpu/cpu{}/topology/thread_siblings_list"
CAPACITY = "system/cpu/cpu{}/cpu_capacity"


def test_linux_counts_fast_physical_cores(tmp_path: Path) -> None:
    # Intel Core i5-13500: six performance cores of two processors, eight efficiency cores.
    pairs = {cpu: f"{cpu & ~1}-{cpu | 1}" if cpu < 12 else str(cpu) for cpu in range(20)}
    intel = machine(
        tmp_path / "intel",
        {"cpu_core/cpus": "0-11", "cpu_atom/cpus": "12-19"}
        | {SIBLINGS.format(cpu): text for cpu, text in pairs.items()},
    )
    assert cores.of_linux(set(range(20)), intel) == 6
    assert cores.of_linux({0, 1, 2, 12, 13}, intel) == 2  # taskset
    assert cores.of_linux({12, 13, 14}, intel) == 3  # only efficiency cores are allowed
    # Rockchip RK3588: four Cortex-A55, four Cortex-A76.
    capacities = ["530"] * 4 + ["1024"] * 4
    arm = machine(
        tmp_path / "arm",
        {CAPACITY.format(cpu): text for cpu, text in enumerate(capacities)}
        | {SIBLINGS.format(cpu): str(cpu) for cpu in range(8)},
    )
    assert cores.of_linux(set(range(8)), arm) == 4
    assert cores.of_linux({0, 1}, arm) == 2
    # A server: two processors a core, numbered core by core, then again.
    epyc = machine(
        tmp_path / "epyc", {SIBLINGS.format(cpu): f"{cpu % 8},{cpu % 8 + 8}" for cpu in range(16)}
    )
    assert cores.of_linux(set(range(16)), epyc) == 8
    assert cores.of_linux({0, 1, 2}, tmp_path / "nothing") == 3


def test_the_default_is_what_this_machine_has() -> None:
    assert 1 <= cores.default_threads() <= (os.cpu_count() or 1)
    assert cores.of_windows(1) == 1
    assert cores.of_windows(16) == 8
