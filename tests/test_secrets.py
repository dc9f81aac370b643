"""Files with keys or passwords are skipped with one message, and read with --include-secrets."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support import ROOT, Run

from qrank.api import Index
from qrank.ingest.secrets import KINDS, kind_by_content, kind_by_name
from qrank.settings import Walking

Qrank = Callable[..., Run]
# In pieces, so that no scanner takes this file for a key.
KEY = f"-----BEGIN {'OPENSSH PRIVATE'} KEY-----\nkumquat\n-----END KEY-----\n"


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


HELD = [
    *(".env", ".env.local", "prod.env", ".envrc", "id_rsa", "id_ed25519", "ssh_host_rsa_key"),
    *("server.pem", "AuthKey.p8", "store.p12", "cert.PFX", "my.jks", "vault.kdbx", "key.ppk"),
    *(".netrc", "_netrc", ".npmrc", ".pypirc", ".pgpass", ".my.cnf", ".git-credentials"),
    *(".htpasswd", ".dockercfg", ".docker/config.json", ".aws/credentials", ".aws/config"),
    *("application_default_credentials.json", ".azure/msal_token_cache.json", ".kube/config"),
    *(".gnupg/private-keys-v1.d/a.key", ".password-store/mail/me.gpg", "Login Data", "logins.json"),
    *("key4.db", "cookies.sqlite", ".vault-token", "terraform.tfstate", "terraform.tfvars"),
    *("credentials.json", "client_secret_12.apps.json", ".bash_history", "id_rsa.bak", ".env.gz"),
    *("prod/.env~", "secrets.yml"),
]
READ = [
    *("environment.md", "env.md", ".env.example", ".env.sample", ".env.template", ".env.dist"),
    *(
        ".env.local.example",
        "sample.env",
        "id_card.md",
        "id_numbers.txt",
        "id_rsa.pub",
        "id_rsa.md",
    ),
    *("keynote.key", "monkey.pem.md", "pem", "key", "tokens.md", "netrc.md", "aws/credentials.md"),
    *("docker/config.json", "kube/config", "credentials.md", "client_secret.md", "histories.md"),
    *("config", "config.json", "state.tf", "passwords.md", ".ssh/config", ".ssh/known_hosts"),
    *("login data.md", "my.env.md", "kdbx", "settings.xml", "example.tfvars"),
]


def test_names_tell_on_either_system() -> None:
    for name in HELD:
        assert kind_by_name(f"/home/me/{name}"), name
        windows = name.replace("/", "\\")
        assert kind_by_name(f"C:\\Users\\me\\{windows}"), name
        assert kind_by_name(f"C:/Users/me/{name}"), name
    for name in READ:
        assert not kind_by_name(f"/home/me/{name}"), name
        windows = name.replace("/", "\\")
        assert not kind_by_name(f"C:\\Users\\me\\{windows}"), name


def test_content_tells_under_any_name() -> None:
    for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "):
        assert kind_by_content(f"-----BEGIN {kind}PRIVATE KEY-----\n".encode())
    assert kind_by_content(b"\xef\xbb\xbf\r\n-----BEGIN PGP PRIVATE KEY BLOCK-----\r\n")
    assert kind_by_content(b"PuTTY-User-Key-File-3: ssh-ed25519\r\n")
    assert kind_by_content(b"# created: 2026-01-01\n# public key: age1\nAGE-SECRET-KEY-1QQ\n")
    for text in (
        *("-----BEGIN CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "", "-----BEGIN "),
        *("How to read -----BEGIN PRIVATE KEY-----", "# Keys\n\n-----BEGIN PRIVATE KEY-----"),
        "-----BEGIN" + " A" * 100_000,
    ):
        assert not kind_by_content(text.encode()), text


def test_every_family_is_skipped_and_every_other_file_read(qrank: Qrank, tmp_path: Path) -> None:
    folder = make(tmp_path / "notes", dict.fromkeys([*HELD, *READ], "kumquat\n"))
    make(folder, {"deploy.txt": KEY, "tls/server.key": KEY})
    words = ("index", "notes", "--hidden", "--no-embed", "--db", "i.db")
    run = qrank(*words, "--json")
    report = run.json()
    found = {Path(p["path"]).relative_to(folder).as_posix() for p in report["errors"]}
    assert found == {*HELD, "deploy.txt", "tls/server.key"}
    assert all(p["secret"] and "--include-secrets" in p["reason"] for p in report["errors"])
    assert report["files"]["skipped"] == len(HELD) + 2
    assert report["files"]["added"] == len(READ)
    [line] = run.stderr.splitlines()
    assert line.startswith(f"qrank: skipped {len(HELD) + 2} files with keys or passwords (")
    assert line.endswith("); --include-secrets indexes them")
    again = qrank(*words)
    assert (again.returncode, again.stderr) == (0, "")
    assert f"{len(HELD) + 2} skipped" in again.stdout
    with closing(sqlite3.connect(tmp_path / "i.db")) as connection:
        paths = {row[0] for row in connection.execute("SELECT path FROM file")}
    assert paths == {f"{folder}/{name}" for name in READ}


def test_a_named_file_is_skipped_too_and_read_when_asked_for(qrank: Qrank, tmp_path: Path) -> None:
    make(tmp_path, {".env": "TOKEN=kumquat\n", "key.txt": KEY, "a.md": "kumquat\n"})
    for command in (("index", "--no-embed", "--db", "i.db"), ("chunks",), ("index", "--dry-run")):
        for name in (".env", "key.txt"):
            for _ in range(2):  # also when it was said before
                run = qrank(*command, name)
                assert run.returncode == 2
                assert run.stderr == (
                    f"qrank: skipped 1 file with keys or passwords ({name}); "
                    "--include-secrets indexes it\n"
                )
        run = qrank(*command, ".env", "key.txt", "--include-secrets")
        assert (run.returncode, run.stderr) == (0, ""), run
    one = qrank("chunks", ".env", "key.txt", "a.md")
    assert one.stderr.count("\n") == 1
    assert "(.env, key.txt)" in one.stderr
    assert one.stdout.count("kumquat") == 1
    reasons = [file["reason"] for file in qrank("chunks", ".env", "a.md", "--json").json()["files"]]
    assert sum("--include-secrets" in (reason or "") for reason in reasons) == 1


def test_what_an_earlier_run_indexed_leaves_the_index_and_that_is_said(
    qrank: Qrank, tmp_path: Path
) -> None:
    make(tmp_path / "n", {"server.pem": "kumquat\n", "key.txt": KEY, "a.md": "kumquat\n"})
    words = ("index", "n", "--no-embed", "--db", "i.db")
    search = ("search", "kumquat", "--mode", "bm25", "--db", "i.db", "-l")
    for _ in range(2):
        assert qrank(*words, "--include-secrets").stderr == ""
    assert len(qrank(*search).stdout.splitlines()) == 3
    run = qrank(*words)
    assert run.stderr == (
        "qrank: skipped 2 files with keys or passwords (key.txt, server.pem); "
        "removed from the index; --include-secrets indexes them\n"
    )
    assert run.stdout.startswith("2 removed, 1 unchanged, 2 skipped;")
    assert qrank(*search).stdout == "n/a.md\n"
    for name in ("server.pem", "key.txt"):  # a change of what is skipped is no news
        with (tmp_path / "n" / name).open("a") as file:
            file.write("more\n")
    assert qrank(*words).stderr == ""
    (tmp_path / "n" / "key.txt").write_text("kumquat, no key any more\n", "utf-8")
    assert qrank(*words).stdout.startswith("1 added, 1 unchanged, 1 skipped;")
    (tmp_path / "n" / "server.pem").unlink()
    assert "skipped" not in qrank(*words).stdout


def test_an_index_of_an_earlier_version_loses_its_keys(qrank: Qrank, tmp_path: Path) -> None:
    """Its rows say that another extractor made them, as every version that knows more does."""
    make(tmp_path / "n", {".pgpass": "kumquat\n", "key.txt": KEY, "a.md": "kumquat\n"})
    words = ("index", "n", "--hidden", "--no-embed", "--db", "i.db")
    qrank(*words, "--include-secrets")
    with closing(sqlite3.connect(tmp_path / "i.db")) as connection, connection:
        connection.execute("UPDATE file SET extractor = '1.1.1.1'")
    assert "(.pgpass, key.txt); removed from the index;" in qrank(*words).stderr


def test_a_large_file_may_begin_with_a_key(qrank: Qrank, tmp_path: Path) -> None:
    make(tmp_path, {"dump.txt": KEY + "more\n" * (1 << 20)})
    assert "(dump.txt); --include-secrets" in qrank("chunks", "dump.txt").stderr


def test_the_python_api_has_the_setting(tmp_path: Path) -> None:
    folder = make(tmp_path / "n", {"server.pem": "kumquat\n", "a.md": "kumquat\n"})
    with Index(tmp_path / "i.db") as index:
        report = index.add([folder], embed=False)
        assert (report.added, report.skipped) == (1, 1)
        assert [problem.secret for problem in report.errors] == [True]
        report = index.add([folder], embed=False, walking=Walking(include_secrets=True))
        assert (report.added, report.skipped) == (1, 0)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_the_documentation_has_the_table(kind: object) -> None:
    page = (ROOT / "docs" / "ingest.md").read_text("utf-8")
    rows = {
        what.strip(): set(re.findall("`([^`]+)`", names))
        for names, what in re.findall(r"^\| (`.+`) \| ([^|`]+) \|$", page, re.MULTILINE)
    }
    names, what = kind  # type: ignore[misc]
    assert rows[what] == set(names)
