"""qrank serve: start and stop, commands that it declines, and access to its socket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import COMMAND, Run, complaint, wait_until
from warm_process import status, tide_index, warm_process

import qrank as package
from qrank.cli import warm
from qrank.inference import loading
from qrank.serve import places, remote
from qrank.serve.unit import unit

if os.name == "nt":
    pytest.skip("it does not run on Windows", allow_module_level=True)

Qrank = Callable[..., Run]
NOT_USED = "qrank: not run by the warm process: "


@pytest.fixture
def environment(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """With a folder for sockets whose path is too long for one, in all."""
    folder = tmp_path_factory.mktemp("runtime") / ("long" * 20)
    folder.mkdir()
    return environment | {"XDG_RUNTIME_DIR": str(folder)}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tide_index(tmp_path)


@pytest.fixture
def server(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with warm_process(environment) as process:
        yield process


def test_it_starts_in_the_background_and_ends(qrank: Qrank, db: Path) -> None:
    assert qrank("serve", "status").stdout == "not running\n"
    assert qrank("serve", "status").returncode == 1
    assert qrank("serve", "stop").returncode == 1
    started = qrank("serve", "--model-idle", 60)
    assert started.returncode == 0, started
    try:
        told = qrank("serve", "status", "--json").json()
        assert f"process {told['pid']}" in started.stderr
        assert told["version"] == package.__version__
        assert "already running" in qrank("serve").stderr
        assert "already running" in complaint(qrank("serve", "--foreground"))
        found = qrank("search", "--db", db, "tide", "--debug")
        assert found.returncode == 0
        assert NOT_USED not in found.stderr
        told = qrank("serve", "status", "--json").json()
        assert {model["role"] for model in told["models"]} == {"embedder", "reranker"}
        assert told["indexes"] == [str(db)]
        assert str(db) in qrank("serve", "status").stdout
    finally:
        assert qrank("serve", "stop").returncode == 0
    assert qrank("serve", "status", "--json").json()["running"] is False
    assert not Path(told["socket"]).exists()


def test_it_ends_when_nobody_asks(environment: dict[str, str], qrank: Qrank, db: Path) -> None:
    with warm_process(environment, "--model-idle", "0.2", "--idle", "4") as process:
        assert qrank("search", "--db", db, "tide", "--no-rerank").returncode == 0
        wait_until(lambda: not status(environment).get("models"))
        assert process.wait(120) == 0
    assert status(environment) == {
        **dict.fromkeys(("pid", "version", "socket", "http", "token_file")),
        "models": [],
        "indexes": [],
        "running": False,
        "commands": 0,
    }


def test_two_starts_at_once_leave_one(environment: dict[str, str]) -> None:
    def start(_: int) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [COMMAND, "serve"], env=environment, capture_output=True, timeout=300, check=False
        )

    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(start, range(4)))
    try:
        pid = status(environment)["pid"]
        said = [run.stderr.decode() for run in runs]
        assert all(run.returncode == 0 for run in runs), said
        assert all(f"process {pid}" in line for line in said), said
    finally:
        subprocess.run([COMMAND, "serve", "stop"], env=environment, check=True)


def test_one_that_was_killed_is_no_hindrance(
    environment: dict[str, str], qrank: Qrank, db: Path
) -> None:
    with warm_process(environment) as process:
        qrank("search", "--db", db, "tide")  # models are loaded, children wait
        told = status(environment)
        process.kill()
        process.wait()
        assert Path(told["socket"]).exists()  # it could not remove it
        for model in told["models"]:
            wait_until(lambda pid=model["pid"]: not is_running(pid))
    run = qrank("search", "--db", db, "tide", "--debug")
    assert run.returncode == 0
    assert run.stderr.startswith(NOT_USED)
    with warm_process(environment):
        run = qrank("search", "--db", db, "tide", "--debug")
        assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("moment", [0.05, 0.2, 0.4, 0.8])
def test_one_that_was_killed_as_it_started_is_no_hindrance(
    environment: dict[str, str], qrank: Qrank, db: Path, moment: float
) -> None:
    process = subprocess.Popen(
        [COMMAND, "serve", "--foreground"], env=environment, stderr=subprocess.DEVNULL
    )
    with suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    process.kill()
    process.wait()
    assert qrank("search", "--db", db, "tide", "--mode", "bm25", "-l").stdout == "tide.md\n"
    with warm_process(environment):
        assert qrank("search", "--db", db, "tide", "--mode", "bm25", "--debug").stderr == ""


@pytest.mark.usefixtures("server")
def test_commands_that_come_while_a_model_loads_share_it(
    environment: dict[str, str], qrank: Qrank, db: Path
) -> None:
    """Forks while models load: none that waits for another, and one process a model."""

    def search(number: int) -> Run:
        mode = ("--mode", "bm25") if number % 2 else ()
        return qrank("search", "--db", db, f"tide {number}", "-l", "--debug", *mode)

    with ThreadPoolExecutor(8) as threads:
        runs = list(threads.map(search, range(8)))
    assert {(run.returncode, run.stdout, run.stderr) for run in runs} == {(0, "tide.md\n", "")}
    assert len(status(environment)["models"]) == 2


@pytest.mark.usefixtures("server")
def test_an_index_on_a_disk_that_vanishes_is_said_as_without_it(
    qrank: Qrank, db: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    db.rename(disk / "i.db")
    words = ("search", "--db", disk / "i.db", "tide", "--mode", "bm25", "-l")
    assert qrank(*words).stdout == "tide.md\n"
    disk.rename(tmp_path / "elsewhere")
    served, alone = (qrank(*words, *where) for where in ((), ("--no-serve",)))
    assert "there is no index" in complaint(served)
    assert (served.stderr, served.stdout) == (alone.stderr, alone.stdout)
    (tmp_path / "elsewhere").rename(disk)
    assert qrank(*words, "--debug").stderr == ""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.usefixtures("server")
def test_an_index_that_changes_is_seen_as_it_is(qrank: Qrank, db: Path, tmp_path: Path) -> None:
    def found() -> str:
        return qrank("search", "--db", db, "tide", "--mode", "bm25", "-l", "--debug").stdout

    assert found() == "tide.md\n"
    (tmp_path / "more.md").write_text("A spring tide is higher. The tide again.\n")
    with package.Index(db) as index:
        index.add(tmp_path / "more.md", embed=False)
    assert sorted(found().split()) == ["more.md", "tide.md"]
    other = tmp_path / "other.db"
    with package.Index(other) as index:
        index.add(tmp_path / "more.md", embed=False)
    other.replace(db)
    assert found() == "more.md\n"
    db.unlink()
    assert "there is no index" in complaint(qrank("search", "--db", db, "tide"))


@pytest.mark.usefixtures("server")
def test_a_run_is_the_client_s_in_all_it_depends_on(
    environment: dict[str, str], qrank: Qrank, db: Path, tmp_path: Path
) -> None:
    """Folder, environment, file mask, streams, arguments that are no UTF-8, and their order."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    words = ["search", "--mode", "bm25", "tide", "--format", "{path}"]
    for variables in ({"QRANK_DB": str(db)}, {"QRANK_DB": "../i.db"}, {"QRANK_DB": "none.db"}):
        ways = [
            subprocess.run(
                [COMMAND, *words, *more],
                cwd=folder,
                env=environment | variables,
                capture_output=True,
                check=False,
            )
            for more in ([], ["--no-serve"])
        ]
        assert ways[0].stdout == ways[1].stdout
        assert ways[0].stderr == ways[1].stderr
        assert ways[0].returncode == ways[1].returncode
    queries = tmp_path / "queries"
    queries.write_text("tide\n")
    resume = f"{COMMAND} search --db i.db --mode bm25 --queries queries --resume out"
    subprocess.run(["sh", "-c", f"umask 077; {resume}"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    with queries.open("rb") as stdin:  # the next reader goes on where this one stopped
        subprocess.run([COMMAND, "embed"], env=environment, stdin=stdin, check=True)
        assert stdin.read() == b""


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("variables", "options", "used"),
    [
        ({}, (), True),
        ({"QRANK_SERVE": "auto"}, (), True),
        ({"QRANK_SERVE": "off"}, (), False),
        ({}, ("--no-serve",), False),
    ],
)
def test_it_is_used_unless_told_otherwise(
    environment: dict[str, str],
    qrank: Qrank,
    db: Path,
    variables: dict[str, str],
    options: tuple[str, ...],
    used: bool,
) -> None:
    before = status(environment)["commands"]
    run = qrank("--db", db, "search", "tide", *options, "--mode", "bm25", **variables)
    assert run.returncode == 0
    assert status(environment)["commands"] == before + used


@pytest.mark.usefixtures("server")
def test_the_settings_can_turn_it_off(qrank: Qrank, db: Path) -> None:
    assert qrank("config", "set", "serve", "off").returncode == 0
    run = qrank("search", "--db", db, "tide", "--mode", "bm25", "--debug")
    assert run.returncode == 0
    assert run.stderr == f"{NOT_USED}the settings say serve = off\n"
    assert "off" in complaint(qrank("config", "set", "serve", "perhaps"))


def test_the_settings_can_start_it(environment: dict[str, str], qrank: Qrank, db: Path) -> None:
    assert qrank("search", "--db", db, "tide", "--mode", "bm25").returncode == 0
    assert not status(environment)["running"]
    run = qrank("search", "--db", db, "tide", "--mode", "bm25", QRANK_SERVE="start")
    assert (run.returncode, run.stderr) == (0, "")
    wait_until(lambda: status(environment)["running"])
    assert qrank("serve", "stop").returncode == 0


def test_one_that_hangs_costs_a_second(environment: dict[str, str], qrank: Qrank, db: Path) -> None:
    place = Path(environment["XDG_RUNTIME_DIR"]) / "qrank"
    place.mkdir(0o700)
    with listening(place, f"{places.NAME}.sock"):
        run = qrank("search", "--db", db, "tide", "--mode", "bm25", "--debug")
    assert run.returncode == 0
    assert run.stderr == f"{NOT_USED}it does not answer\n"


class listening:
    """A socket that nobody answers on."""

    def __init__(self, folder: Path, name: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        here = Path.cwd()
        os.chdir(folder)
        self.socket.bind(name)
        os.chdir(here)
        self.socket.listen()

    def __enter__(self) -> socket.socket:
        return self.socket

    def __exit__(self, *_error: object) -> None:
        self.socket.close()


def test_a_folder_that_others_can_use_is_not_trusted(
    environment: dict[str, str], qrank: Qrank, db: Path
) -> None:
    place = Path(environment["XDG_RUNTIME_DIR"]) / "qrank"
    place.mkdir()
    place.chmod(0o770)
    with listening(place, f"{places.NAME}.sock"):
        run = qrank("search", "--db", db, "tide", "--mode", "bm25", "--debug")
    assert run.returncode == 0
    assert "open to other users" in run.stderr
    assert "open to other users" in complaint(qrank("serve", "--foreground"))
    place.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(place, 12345, 12345)
        assert "another user" in complaint(qrank("serve", "--foreground"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.usefixtures("server")
def test_another_user_gets_nothing(environment: dict[str, str]) -> None:
    """Also when the folder stands open: who is at the other end is asked of the kernel."""
    path = Path(status(environment)["socket"])
    for folder in (path.parent, *path.parents):
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o005)
    ask = (
        "import os, socket, sys\n"
        "os.setgid(12345); os.setuid(12345)\n"
        "os.chdir(sys.argv[1])\n"
        "for name in sys.argv[2:]:\n"
        "    with socket.socket(socket.AF_UNIX) as s:\n"
        "        try:\n"
        "            s.connect(name)\n"
        "            print(s.recv(1))\n"
        "        except PermissionError:\n"
        "            print('refused')\n"
    )
    names = [path.name, path.with_suffix(".control").name]
    run = subprocess.run(
        [sys.executable, "-c", ask, path.parent, *names], capture_output=True, text=True, check=True
    )
    assert set(run.stdout.split()) <= {"b''", "refused"}
    for name in names:
        (path.parent / name).chmod(0o777)
    run = subprocess.run(
        [sys.executable, "-c", ask, path.parent, *names], capture_output=True, text=True, check=True
    )
    assert run.stdout == "b''\nb''\n"


@pytest.mark.usefixtures("server")
def test_nonsense_and_silence_on_the_sockets_stop_nobody(
    environment: dict[str, str], qrank: Qrank, db: Path
) -> None:
    path = Path(status(environment)["socket"])
    here = Path.cwd()
    held = []
    os.chdir(path.parent)
    try:
        for name in [path.name] * 8 + [path.with_suffix(".control").name] * 40:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(name)
            held.append(connection)
        for connection, said in zip(
            held, [b"", b"\xff" * 9, b"\0" * 7 + b"\x09123456789"] * 16, strict=True
        ):
            connection.send(said) if said else None
        nonsense = (b"[]", b"{}", b'{"do":"model"}', b'{"do":"model","model":{}}', b"{", b"\xff")
        for said in nonsense:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path.with_suffix(".control").name)
                connection.send(len(said).to_bytes(4, "big") + b"\0\0\0\0" + said)
                assert connection.recv(9) in (b"",) or said == b'{"do":"model","model":{}}'
    finally:
        os.chdir(here)
    run = qrank("search", "--db", db, "tide", "--mode", "bm25", "--debug")
    assert (run.returncode, run.stderr) == (0, "")
    for connection in held:
        connection.close()


@pytest.mark.usefixtures("server")
def test_a_broken_model_is_said_as_without_it(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF\3\0\0\0")
    for model in ("broken.gguf", "none.gguf", "tiny"):
        words = ("rerank", "tide", "--rerank-model", model, "--instruct", "")
        served, alone = (qrank(*words, *more, stdin="a tide\n") for more in ((), ("--no-serve",)))
        assert served.returncode == alone.returncode
        assert served.stderr == alone.stderr
        assert served.stdout == alone.stdout


def test_a_client_of_another_installation_runs_it_itself(
    environment: dict[str, str], qrank: Qrank, db: Path, server: subprocess.Popen[bytes]
) -> None:
    script = (
        "import sys; from qrank.serve import places\n"
        "places.identity = lambda: 'another'\n"
        "from qrank.__main__ import main\n"
        "main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, "search", "--db", db, "tide", "--debug", "--mode", "bm25"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr.startswith(f"{NOT_USED}it is another version or installation")
    assert "tide" in run.stdout


def test_what_is_imported_beforehand_exists() -> None:
    assert all(find_spec(name) for name in warm.USED)


@pytest.mark.parametrize(
    "words", [["tide"], ["tide", "--json"], ["a tide", "--mode", "bm25", "-l"]]
)
def test_a_search_imports_nothing_more(
    environment: dict[str, str], db: Path, words: list[str]
) -> None:
    """But what models in this process need, which are in another one there."""
    script = (
        "import sys\n"
        "from qrank.cli import warm\n"
        "from qrank.cli.app import root, run\n"
        "warm.load(root)\n"
        "before = set(sys.modules)\n"
        f"sys.argv = ['qrank', 'search', '--db', {str(db)!r}, '--no-serve', *{words!r}]\n"
        "assert run() == 0\n"
        "new = {name for name in set(sys.modules) - before if name.startswith('qrank.')}\n"
        "print(sorted(name for name in new if not name.startswith('qrank.llama')))\n"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_a_model_s_process_can_be_a_program_of_its_own(
    environment: dict[str, str], qrank: Qrank, db: Path
) -> None:
    """As on macOS."""
    script = (
        "import sys; from qrank.serve import supervisor; supervisor.EXEC_MODELS = True\n"
        "sys.argv = ['qrank', 'serve', '--foreground', '--model-idle', '1']\n"
        "from qrank.__main__ import main; main()"
    )
    server = subprocess.Popen([sys.executable, "-P", "-c", script], env=environment)
    try:
        wait_until(lambda: status(environment)["running"], server)
        run = qrank("search", "--db", db, "tide", "--debug")
        assert (run.returncode, run.stderr) == (0, "")
        wait_until(lambda: not status(environment)["models"])
    finally:
        server.terminate()
        assert server.wait(60) == 0


def test_units_start_it_in_the_foreground(qrank: Qrank) -> None:
    printed = qrank("serve", "unit", "systemd").stdout
    assert "serve --foreground --idle=0" in printed
    assert "'/opt/a b/100%%/qrank'" in unit("systemd", "/opt/a b/100%/qrank", [])
    assert "<string>/a&amp;b/qrank</string>" in unit("launchd", "/a&b/qrank", [])
    assert json.dumps(qrank("serve", "unit", "launchd").stdout).count("<string>") == 5


def test_a_library_s_models_outlive_the_server(
    environment: dict[str, str], db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As qrank mcp uses them: shared while it runs, else its own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", environment["XDG_RUNTIME_DIR"])
    monkeypatch.setattr(loading, "elsewhere", None)
    texts = ["the tide", "a bicycle"]
    with package.Embedding("tiny") as embedding, package.Reranking("tiny") as reranking:
        vectors, ranked = embedding(texts), reranking("tide", texts)
    remote.use(fallback=True)
    with warm_process(environment) as process:
        embedding, reranking = package.Embedding("tiny"), package.Reranking("tiny")
        assert (embedding(texts) == vectors).all()
        assert reranking("tide", texts) == ranked
        assert len(status(environment)["models"]) == 2
        process.kill()
        process.wait()
    assert (embedding(texts) == vectors).all()
    assert reranking("tide", texts) == ranked
    with package.Embedding("tiny") as another:
        assert (another(texts) == vectors).all()
    embedding.close()
    reranking.close()
    remote.use()
    with pytest.raises(package.ModelError, match="has ended"):
        package.Embedding("tiny")
