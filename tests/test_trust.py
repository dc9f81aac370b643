"""Untrusted folders: their config can't send data away, and another user's folder is not used."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import COMMAND, Run, complaint

from qrank.config import KEYS, PROJECT_KEYS, load_settings
from qrank.errors import InputError
from qrank.settings import CHOICES, NUMBERS, SECONDS
from qrank.urls import is_url, parse

KEY = "secret-of-the-user"


class Listener:
    """A port of loopback that notes whoever connects to it, and answers nothing."""

    def __init__(self) -> None:
        self.met: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1)
                try:
                    self.met.append(connection.recv(65536))
                except OSError:
                    self.met.append(b"")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with closing(Listener()) as made:
        yield made


def hostile_configs(address: str) -> dict[str, str]:
    """What the config.toml of a hostile project may say, by what it is."""
    url = f"http://{address}"
    spellings = {
        "plain": url,
        "leading blank": f" {url}",
        "trailing blank": f"{url} ",
        "upper case": f"HTTP://{address}",
        "mixed case, tab": f"\\tHtTp://{address}",
        "newline": f"\\n{url}",
        "no slashes": f"http:{address}",
        "one slash": f"http:/{address}",
        "backslashes": f"http:\\\\\\\\{address}",
        "several": f"tiny,{url}",
        "fragment": f"{url}#tiny",
        "user": f"http://tiny@{address}",
        "unicode blank": f"\\u00a0{url}",
        "nul": f"\\u0000{url}",
    }
    found = {}
    for name, value in spellings.items():
        found[f"embed_model: {name}"] = f'embed_model = "{value}"'
        found[f"rerank_model: {name}"] = f'rerank_model = "{value}"'
        for field in ("source", "server"):
            for role in ("embedder", "reranker"):
                table = f'[[{role}]]\nalias = "mine"\npreference = 999\n{field} = "{value}"'
                found[f"{role}.{field}: {name}"] = table
    model = str(Path(__file__).parent / "parity" / "embed.gguf")
    found |= {
        "tiny by a server": f'[[embedder]]\nalias = "tiny"\npreference = 999\nserver = "{url}"',
        "api": '[[reranker]]\nalias = "tiny"\napi = "cohere"',
        "key": '[[reranker]]\nalias = "tiny"\nkey = "QRANK_API_KEY"',
        "model file": f'embed_model = "{model}"',
        "model file below": 'embed_model = "model.gguf"',
        "model source": 'embed_model = "hf:evil/repo/model.gguf"',
        "alias of the user's server": 'rerank_model = "work"',
        "links to a server": f'hyperlink_format = "{url}/{{path}}"',
        "another index": 'db = "/tmp/theirs.db"',
        "trust": 'trusted_folders = ["/"]',
        "threads": "threads = 1000",
        "unknown": 'webhook = "x"',
    }
    return found


COMMANDS = (
    ("search", "tide"),
    ("search", "tide", "--mode", "vector"),
    ("index", "."),
    ("rerank", "tide"),
    ("embed",),
    ("models", "list"),
    ("doctor",),
    ("similar", "notes.md"),
)


@pytest.fixture
def project(qrank: Callable[..., Run], tmp_path: Path, environment: dict[str, str]) -> Path:
    """A project with an index, of a user who has a server of their own by the name of work."""
    (tmp_path / "notes.md").write_text("The tide turns twice a day.\n", "utf-8")
    assert qrank("init").returncode == 0
    assert qrank("index", ".").returncode == 0
    own = Path(environment["HOME"]) / ".config" / "qrank"
    own.mkdir(parents=True)
    return tmp_path / ".qrank"


def test_no_byte_leaves_for_what_a_project_says(
    qrank: Callable[..., Run], project: Path, listener: Listener, environment: dict[str, str]
) -> None:
    own = Path(environment["HOME"]) / ".config" / "qrank" / "config.toml"
    address = f"127.0.0.1:{listener.port}"
    own.write_text(f'[[reranker]]\nalias = "work"\nsource = "HTTP://{address}"\n')
    configs = hostile_configs(address)
    for number, (name, text) in enumerate(configs.items()):
        (project / "config.toml").write_text(text, "utf-8")
        # Each is refused where all commands read it; a command that is run meets some of them.
        with pytest.raises(InputError):
            _load(project.parent, environment)
        if number % 7:
            continue
        command = COMMANDS[number % len(COMMANDS)]
        said = complaint(qrank(*command, stdin="tide\n", QRANK_API_KEY=KEY))
        assert "config.toml" in said, (name, said)
        assert listener.met == [], name
    for command in COMMANDS:  # and all commands the plain ones
        for name in (
            "embed_model: leading blank",
            "reranker.server: upper case",
            "tiny by a server",
        ):
            (project / "config.toml").write_text(configs[name], "utf-8")
            complaint(qrank(*command, stdin="tide\n", QRANK_API_KEY=KEY))
    assert listener.met == []
    assert not list(Path(environment["HOME"]).rglob("servers.json"))  # nothing counts as named


def _load(folder: Path, environment: dict[str, str]) -> None:
    """What a run in folder reads, in this process."""
    before = dict(os.environ)
    os.environ.update({"HOME": environment["HOME"]})
    try:
        load_settings(folder)
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_the_listener_notes_what_a_user_sends(
    qrank: Callable[..., Run], project: Path, listener: Listener
) -> None:
    """The other half of the test above: what the user names is asked, with the key."""
    url = f" HTTP://127.0.0.1:{listener.port} "
    sent = qrank("embed", "--embed-model", url, stdin="tide\n", QRANK_API_KEY=KEY)
    assert sent.returncode == 2
    assert any(KEY.encode() in data for data in listener.met)


@pytest.mark.parametrize("spelling", ["http://{}", " HTTP://{}", "http:{}", "\thttp://{}#tiny"])
@pytest.mark.parametrize("command", [("search", "tide"), ("index", "."), ("index", ".", "-q")])
def test_no_byte_leaves_for_what_an_index_says(
    qrank: Callable[..., Run],
    project: Path,
    listener: Listener,
    spelling: str,
    command: tuple[str, ...],
) -> None:
    (project.parent / "more.md").write_text("The moon pulls the sea.\n", "utf-8")
    with closing(sqlite3.connect(project / "index.db")) as connection, connection:
        name = spelling.format(f"127.0.0.1:{listener.port}")
        connection.execute("UPDATE model SET name = ?, sha256 = 'x'", (name,))
    complaint(qrank(*command, QRANK_API_KEY=KEY))
    assert listener.met == []


def test_what_a_project_may_set_works(
    qrank: Callable[..., Run], project: Path, environment: dict[str, str]
) -> None:
    (project / "config.toml").write_text(
        'collection = "notes"\nembed_model = "tiny"\nrerank_model = "tiny"\n'
        'color = "never"\nhyperlink_format = "file"\n'
    )
    assert qrank("index", ".").returncode == 0
    collections = qrank("status", "--json").json()["collections"]
    assert "notes" in [collection["name"] for collection in collections]
    assert qrank("search", "tide").returncode == 0
    for key in KEYS:
        value = "1" if key in NUMBERS | SECONDS else CHOICES.get(key, ("tiny",))[0]
        run = qrank("config", "set", "--project", key, value)
        if key not in PROJECT_KEYS:
            assert f"a project can't set the setting '{key}'" in complaint(run)


def test_no_module_of_the_current_folder_is_run(
    qrank: Callable[..., Run], tmp_path: Path, environment: dict[str, str]
) -> None:
    """Python's -m prefers modules of the current folder: no process that qrank starts may."""
    mark = tmp_path / "mark"
    for name in ("pip/__init__.py", "qrank/__init__.py", "json.py", "signal.py", "bs4.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"open({str(mark)!r}, 'a').write({name!r} + ' ')\n")
    (tmp_path / "page.html").write_text("<p>The tide comes in twice a day.")
    environment["PIP_NO_INDEX"] = "1"
    assert "can't fetch the package" in qrank("models", "pull", "minilm").stderr
    assert qrank("index", "page.html", "--db", "i.db").returncode == 0  # a worker process
    assert qrank("embed", stdin="tide\n").returncode == 0
    try:
        assert qrank("serve").returncode == 0
        assert qrank("search", "tide", "--db", "i.db").returncode == 0
    finally:
        qrank("serve", "--stop")
    assert not mark.exists(), mark.read_text()


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("http://a", True),
        (" HTTPS://A:8/v1#m ", True),
        ("http://[::1]:8080", True),
        ("http:a", False),
        ("http://", False),
        ("http://a:99999", False),
        ("http://user:password@a", False),
        ("ftp://a", False),
        ("file:///etc/passwd", False),
    ],
)
def test_a_url_is_taken_apart_in_one_place(text: str, right: bool) -> None:
    assert is_url(text)
    if right:
        assert parse(text).origin == text.strip().lower().partition("#")[0].removesuffix("/v1")
    else:
        with pytest.raises(InputError) as caught:
            parse(text)
        assert "password" not in str(caught.value)


# Whose folder it is. These need root, to make files that belong to somebody else.

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)
STRANGER, ME = 54321, 54322


@pytest.fixture
def run_as_me(tmp_path: Path, environment: dict[str, str]) -> Callable[..., Run]:
    """Run the command as a user of no importance; SUDO_UID may say who called it."""
    import subprocess

    home = Path(environment["HOME"])
    for path in (home, *home.rglob("*")):
        os.chown(path, ME, ME)
    for folder in (tmp_path, *tmp_path.parents, home, *home.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)

    def run(*args: object, folder: Path = tmp_path, user: int = ME, **variables: str) -> Run:
        done = subprocess.run(
            ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
            + [sys.executable, str(COMMAND), *map(str, args)],
            cwd=folder,
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Run(tuple(map(str, args)), done.returncode, done.stdout, done.stderr)

    return run


def give(path: Path, user: int) -> None:
    """Make a folder and all in it a user's."""
    for each in (path, *path.rglob("*")):
        os.chown(each, user, user, follow_symlinks=False)


@needs_root
def test_the_project_of_another_user_is_used_when_it_is_trusted(
    run_as_me: Callable[..., Run], project: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    below = tmp_path / "deep" / "down"
    below.mkdir(parents=True)
    give(tmp_path, ME)
    assert run_as_me("search", "tide", folder=below).returncode == 0
    give(project, STRANGER)
    before = (project / "index.db").read_bytes()
    said = complaint(run_as_me("search", "tide", folder=below))
    assert f"{project} belongs to another user" in said
    assert "qrank config set trusted_folders" in said
    complaint(run_as_me("index", ".", folder=below))
    assert (project / "index.db").read_bytes() == before
    # What needs no index works, and so does an index that is named.
    assert run_as_me("embed", "--help", folder=below).returncode == 0
    assert run_as_me("models", "list", folder=below).returncode == 0
    named = run_as_me("index", ".", "--db", tmp_path / "mine.db", "--no-embed", folder=below)
    assert named.returncode in (0, 2), named
    assert "another user" not in named.stderr
    # As the message says: after this it is used.
    command = said.partition("if you trust it: qrank ")[2].partition(";")[0].split()
    give(Path(environment["HOME"]), ME)
    assert run_as_me(*command, folder=below).returncode == 0
    assert run_as_me("search", "tide", folder=below).returncode == 0


@needs_root
@pytest.mark.parametrize("part", ["", "index.db", "config.toml"])
def test_no_part_of_a_project_may_be_another_user_s(
    run_as_me: Callable[..., Run], project: Path, tmp_path: Path, part: str
) -> None:
    (project / "config.toml").write_text('collection = "x"\n')
    give(tmp_path, ME)
    os.chown(project / part, STRANGER, STRANGER)
    assert "belongs to another user" in complaint(run_as_me("search", "tide"))


@needs_root
def test_a_link_of_another_user_is_not_followed(
    run_as_me: Callable[..., Run], project: Path, tmp_path: Path
) -> None:
    give(tmp_path, ME)
    place = tmp_path / "place"
    place.mkdir()
    (place / ".qrank").symlink_to(project)
    os.chown(place / ".qrank", STRANGER, STRANGER, follow_symlinks=False)
    assert "belongs to another user" in complaint(run_as_me("search", "tide", folder=place))


@needs_root
def test_under_sudo_the_caller_s_own_project_is_used(
    run_as_me: Callable[..., Run], project: Path, tmp_path: Path
) -> None:
    give(tmp_path, ME)
    assert "another user" in complaint(run_as_me("search", "tide", user=0))
    assert run_as_me("search", "tide", user=0, SUDO_UID=str(ME)).returncode == 0
    assert "another user" in complaint(run_as_me("search", "tide", SUDO_UID=str(STRANGER), user=0))
    give(project, STRANGER)  # SUDO_UID says nothing to who is not root
    assert "another user" in complaint(run_as_me("search", "tide", SUDO_UID=str(STRANGER)))
