"""Detecting files with keys or passwords, which are skipped by default.

They are detected by file name, and by the start of their content. Names of copies (`id_rsa.bak`,
`.env.gz`) count as the original's; names of examples (`.env.example`) do not count.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase, translate
from typing import NamedTuple

VERSION = 1  # of detection by content, stored with documents: after a change files are read again


class Kind(NamedTuple):
    """A kind of secret files. names, in lower case: a name, a glob, the end of a path (a/b), or,
    with a slash at the end, a folder whose files are all secret. what: their content."""

    names: tuple[str, ...]
    what: str


# tests/test_secrets.py compares this table with docs/ingest.md.
KINDS = (
    Kind((".env", ".env.*", "*.env", ".envrc"), "settings with passwords"),
    Kind(
        ("id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_xmss")
        + ("ssh_host_*_key", "*.ppk"),
        "an SSH key",
    ),
    Kind(("*.pem", "*.p8", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ovpn"), "a private key"),
    Kind(
        ("*.kdbx", "*.kdb", "*.psafe3", "*.1pux", "*.keychain", "*.keychain-db")
        + (".password-store/", ".gnupg/", ".local/share/keyrings/"),
        "a password or key store",
    ),
    Kind(
        (".netrc", "_netrc", ".npmrc", ".pypirc", ".pgpass", "pgpass.conf", ".my.cnf")
        + (".mylogin.cnf", ".git-credentials", ".htpasswd", ".htdigest", ".s3cfg", ".boto")
        + (".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials")
        + (".m2/settings.xml", ".config/gh/hosts.yml", "rclone.conf", ".vault-token")
        + (".huggingface/token", ".cache/huggingface/token", ".kaggle/kaggle.json"),
        "a program's login data",
    ),
    Kind((".dockercfg", ".docker/config.json", ".kube/config", "kubeconfig"), "container logins"),
    Kind(
        (".aws/credentials", ".aws/config", ".azure/", ".config/gcloud/", ".oci/config")
        + ("application_default_credentials.json", "credentials.json", "client_secret*.json"),
        "cloud credentials",
    ),
    Kind(
        ("*.tfstate", "*.tfstate.backup", "*.tfvars", ".terraformrc", "credentials.tfrc.json")
        + ("secrets.yml", "secrets.yaml", "secrets.json", "secrets.toml", "master.key"),
        "deployment secrets",
    ),
    Kind(
        ("login data", "login data for account", "logins.json", "key3.db", "key4.db")
        + ("signons.sqlite", "cookies.sqlite"),
        "a browser's passwords or sessions",
    ),
    Kind(
        (".bash_history", ".zsh_history", "fish_history", "consolehost_history.txt")
        + (".python_history", ".psql_history", ".mysql_history"),
        "shell history",
    ),
)
EXAMPLES = frozenset(("example", "sample", "template", "tmpl", "dist"))  # a part of the name
COPIES = ("~", ".bak", ".old", ".orig", ".save", ".gz", ".bz2", ".xz")
HEAD = 256  # bytes at the start of a file in which a key is detected
_KEY = re.compile(
    rb"(?:\xef\xbb\xbf)?\s{0,64}(?:-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rb"|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----|PuTTY-User-Key-File-\d"
    rb"|(?:#[^\n]{0,99}\n){0,3}AGE-SECRET-KEY-1)"
)


class _Names:
    """KINDS by type of pattern, so that most names of a walk are looked up in two microseconds."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.suffixes: dict[str, str] = {}
        self.globs: list[tuple[str, str]] = []
        self.path_ends: list[tuple[str, str]] = []
        self.folders: list[tuple[str, str]] = []
        for names, what in KINDS:
            for name in names:
                if name.endswith("/"):
                    self.folders.append((f"/{name}", what))
                elif "/" in name:
                    self.path_ends.append((f"/{name}", what))
                elif "*" not in name:
                    self.names[name] = what
                elif name.startswith("*.") and name.count(".") == 1:
                    self.suffixes[name[2:]] = what
                else:
                    self.globs.append((name, what))
        self.any_glob = re.compile("|".join(translate(glob) for glob, _ in self.globs)).match


_NAMES = _Names()


def kind_by_name(path: str) -> str:
    r"""What a secret file contains (Kind.what), by its path on any system; "" for other files.

    >>> kind_by_name("/home/me/.ssh/id_rsa"), kind_by_name(r"C:\app\.env.local")
    ('an SSH key', 'settings with passwords')
    >>> kind_by_name("/app/.env.example"), kind_by_name("/home/me/id_card.md")
    ('', '')
    >>> kind_by_name("/a/b.pem.md")
    ''
    """
    path = "/" + path.replace("\\", "/").lower()
    name = path.rpartition("/")[2]
    while name.endswith(COPIES):
        end = next(end for end in COPIES if name.endswith(end))
        name, path = name.removesuffix(end), path.removesuffix(end)
    kind = _NAMES.names.get(name, "")
    if not kind and "." in name:
        kind = _NAMES.suffixes.get(name.rpartition(".")[2], "")
    if not kind and _NAMES.any_glob(name):
        kind = next(what for glob, what in _NAMES.globs if fnmatchcase(name, glob))
    if not kind and "/." in path:
        kind = next((what for tail, what in _NAMES.path_ends if path.endswith(tail)), "")
        kind = kind or next((what for part, what in _NAMES.folders if part in path), "")
    return "" if kind and not EXAMPLES.isdisjoint(name.split(".")) else kind


def reason(what: str) -> str:
    """The reason for skipping a secret file, from its Kind.what.

    >>> reason("an SSH key")
    'an SSH key (--include-secrets indexes it)'
    """
    return f"{what} (--include-secrets indexes it)"


def kind_by_content(data: bytes) -> str:
    """What a secret file contains, by its first HEAD bytes or more; "" for other files.

    >>> kind_by_content(b"-----BEGIN OPENSSH PRIVATE KEY-----\\nb3Bl")
    'a private key'
    """
    return "a private key" if _KEY.match(data[:HEAD]) else ""
