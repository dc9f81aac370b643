"""Import rules: layers, and heavy packages imported lazily; the built package is complete."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from importlib.metadata import files
from pathlib import Path

import pytest
from support import ROOT, Run

import qrank

PACKAGE = ROOT / "qrank"
LAYERS = {  # each may import those after it
    # It calls functions of the API, and of parts that are made for a command of their own.
    "cli": {
        *("api", "standalone", "json_form", "config", "models", "progress"),
        *("evaluation", "upkeep", "agents", "serve", "indexes", "web"),
    },
    "web": {"agents", "api", "json_form", "serve", "standalone"},
    "agents": {"api", "searching", "serve"},
    "serve": {"api", "standalone", "config", "models", "inference", "llama"},
    "evaluation": {"api", "inference", "indexing", "searching", "progress", "store", "models"},
    "api": {
        *("standalone", "indexing", "searching", "upkeep", "inference", "progress"),
        *("store", "llama", "models"),
    },
    "indexes": {"api", "progress", "searching"},
    "standalone": {"indexing", "searching", "inference", "progress", "models"},
    "indexing": {"inference", "ingest", "progress", "store", "llama", "models"},
    "searching": {"inference", "ingest", "progress", "store", "models"},
    "upkeep": {"inference", "progress", "store", "llama", "models"},
    "inference": {"store", "llama", "model_servers", "models"},
    "json_form": {"evaluation", "models", "upkeep"},  # their types
    "config": {"ingest"},  # how git is configured
    "progress": set(),
    "ingest": set(),
    # The keys of servers; what a speed that was measured is valid for.
    "store": {"model_servers", "llama"},
    "llama": set(),
    "model_servers": set(),
    "models": set(),
}
EVERYWHERE = {"results", "reports", "errors", "settings", "analysis", "names", "prompts", ""}
EVERYWHERE |= {
    "files",
    "processors",
    "chunk_text",
    "urls",
    "arguments",
    "closing",
    "markup",
}


def imports(path: Path) -> set[str]:
    """The parts of qrank that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "qrank":
            public = {*qrank.__all__}
            names = [f"qrank.{name.name}" for name in node.names if name.name not in public]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("qrank.")}
    return found - {"__version__"}


def test_data_flows_one_way() -> None:
    checked = 0
    for part, below in LAYERS.items():
        paths = sorted((PACKAGE / part).rglob("*.py")) or [PACKAGE / f"{part}.py"]
        for path in paths:
            wrong = imports(path) - below - EVERYWHERE - {part}
            assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"
            checked += 1
    assert checked > 30


def modules() -> dict[str, Path]:
    """All modules of the package by name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }


def imported(node: ast.AST, known: dict[str, Path]) -> Iterator[str]:
    """The modules that code imports when it is run, also within functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (name.name for name in child.names if name.name in known)
        elif isinstance(child, ast.ImportFrom):
            for name in child.names:
                inner = f"{child.module}.{name.name}"
                yield from (found for found in [inner, child.module or ""] if found in known)
        yield from imported(child, known)


def test_no_module_imports_itself_by_way_of_others() -> None:
    known = modules()
    graph = {
        name: {*imported(ast.parse(path.read_text("utf-8")), known)} - {name, "qrank"}
        for name, path in known.items()
    }
    # A package's own module is run before those in it, and imports them for its users.
    graph = {
        name: {n for n in found if not name.startswith(f"{n}.")} for name, found in graph.items()
    }
    assert sum(map(len, graph.values())) > 300
    list(TopologicalSorter(graph).static_order())  # CycleError names the circle


def test_no_folder_holds_more_than_one_can_look_over() -> None:
    for folder in {path.parent for path in PACKAGE.rglob("*.py")}:
        assert sum(path.is_file() for path in folder.iterdir()) <= 20, folder


# Who asks for the environment, the working folder or the home folder; others are handed them.
READERS = {
    "config.py": "settings are read here, and handed down",
    "cli/state.py": "what a run of the command line starts with",
    "files.py": "where the user's folders are",
    "names.py": "a relative path, or ~, that a user typed",
    "settings.py": "~ in a path of an index that a user named",
    "urls.py": "~ in the place of an index, which may be a URL",
    "agents/tools.py": "~ in the path of an index that an agent named",
    "cli/commands/config.py": "~ in a path that goes into a config file",
    "cli/commands/mcp.py": "~ in --db, which goes into the config of another program",
    "models/registry.py": "~ in the path of a model",
    "models/places.py": "where other programs keep models, by their own variables",
    "model_servers/keys.py": "keys stand in variables that the settings name",
    "store/opensearch/client.py": "the file of authorities, which Python does not check",
    "ingest/git.py": "~ in git's configuration",
    "models/hub.py": "sets what huggingface-hub reads",
    "llama/binding.py": "sets what llama.cpp reads",
    "cli/commands/tui.py": "sets what Textual reads",
    "serve/places.py": "where the socket is; it must import hardly anything",
    "serve/client.py": "hands its environment to the warm process",
    "serve/command.py": "takes on the environment of a client",
    "serve/host.py": "sets what llama.cpp reads, as a client has it",
    "serve/remote.py": "hands on what llama.cpp reads",
}


def test_few_modules_ask_for_the_environment_and_folders() -> None:
    asks = re.compile(
        r"\b(os\.(environb?|getenv|getcwdb?|path\.abspath)|Path\.(cwd|home)|expanduser)\b"
    )
    readers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if asks.search(path.read_text("utf-8"))
    }
    assert readers == {*READERS}


def test_no_module_is_imported_from_the_current_folder() -> None:
    """Without -P, `python -m` prefers the modules of the folder that a user is in."""
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r'sys\.executable,\s*"-(m|c)"', path.read_text("utf-8")), path


def test_only_their_homes_know_sql_and_llama() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        part = path.relative_to(PACKAGE).parts[0]
        assert ("llama_cpp" not in text) or part == "llama", path
        assert ("sqlite3" not in text and "SELECT " not in text) or part == "store", path
        assert ("SQLiteStore" not in text) or part == "store", path  # who wants one: open_store


@pytest.mark.parametrize("command", ["--help", "search --help", "tui --help"])
def test_help_imports_nothing_heavy(command: str) -> None:
    script = (
        "import sys; from qrank.__main__ import main\n"
        f"sys.argv = ['qrank', *{command.split()!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'llama_cpp', 'sqlite_utils', 'sqlite3', 'rank_bm25', 'rich'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("loaded: []\n")


def test_a_search_by_words_imports_only_what_it_uses(
    qrank: Callable[..., Run], environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "a.md").write_text("Steep green tea for two minutes.\n", "utf-8")
    assert qrank("index", "a.md", "--no-embed", "--db", "i.db").returncode == 0
    for words in ("green tea", "tea"):  # one word may be the name of a definition in source code
        script = (
            "import sys; from qrank.__main__ import main\n"
            f"sys.argv = ['qrank', 'search', '--mode', 'bm25', {words!r}, '--db', 'i.db']\n"
            "try: main()\n"
            "except SystemExit as end: assert end.code == 0\n"
            "needless = {'numpy', 'llama_cpp', 'rich', 'tomllib', 'platformdirs', '_hashlib'}\n"
            "needless |= {'qrank.' + name for name in ('reports', 'models.registry', 'inference',"
            " 'ingest.extract', 'indexing.index', 'cli.output.json_output')}\n"
            "print('loaded:', sorted(needless & set(sys.modules)))"
        )
        command = [sys.executable, "-c", script]
        run = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
        )
        assert "a.md" in run.stdout
        assert run.stdout.endswith("loaded: []\n")


def test_no_file_is_longer_than_it_should_be() -> None:
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").glob("*.py")]:
        assert len(path.read_text("utf-8").splitlines()) <= 500, path


def test_the_installed_package_has_its_data() -> None:
    names = {str(path) for path in files("qrank") or []}
    if "qrank/api.py" not in names:
        pytest.skip("an editable install lists no files")
    assert {
        *("qrank/py.typed", "qrank/models/registry.toml", "qrank/models/tiny/README.md"),
        *("qrank/models/tiny/tiny-embedding.gguf", "qrank/models/tiny/tiny-reranker.gguf"),
    } <= names


def test_the_files_that_guides_name_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (`\S+/`.*?) \| .+ \| (.+) \|$", page, re.MULTILINE)
    folders = [name for cell, _ in rows for name in re.findall(r"`(.+?)/`", cell)]
    inner = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.iterdir() if path.is_dir()}
    assert {folder.partition("/")[0] for folder in folders} == inner - {"__pycache__"}
    for cell, names in rows:
        for name in re.findall(r"`(.+?)`", names):
            places = [PACKAGE, *(PACKAGE / folder for folder in re.findall(r"`(.+?)/`", cell))]
            assert any((place / name).exists() for place in places), (cell, name)
    tops = (
        "qrank|tests|benchmarks|training|docs|.ci|.github|cli|store|ingest|llama|models|searching"
    )
    for guide in (*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"):
        if guide.name == "ranking.md":  # its examples of queries are paths
            continue
        for name in re.findall(rf"`((?:{tops})/[\w./]+)`", guide.read_text("utf-8")):
            assert (ROOT / name).exists() or (PACKAGE / name).exists(), (guide.name, name)
