"""Reading the settings: the environment, the config files, and which index to use.

Command-line options override the environment, which overrides the project's config, which overrides
the user's. The Python API reads none of these: the command line passes it what `load_settings`
returns.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import NoneType
from typing import Any

from qrank import files
from qrank.arguments import require_type
from qrank.errors import InputError, suggestion
from qrank.ingest import git
from qrank.settings import BETWEEN_MAPPED, INDEX_NAME, NUMBERS, SECONDS, Settings, check, moves
from qrank.urls import is_url

PROJECT_FOLDER = ".qrank"
CONFIG_NAME = "config.toml"
MODELS = ("embedder", "reranker")  # tables of models (models/registry.toml has their fields)
TRUSTED = "trusted_folders"
LISTS = {TRUSTED: os.pathsep, "map": BETWEEN_MAPPED}  # by what separates their values
KEYS = (
    *("db", "embed_model", "rerank_model", "collection", "color", "hyperlink_format"),
    *("mode", *SECONDS, *NUMBERS, "device", "serve", *LISTS),
)
# A project's config may come from someone else, with the folder. So it can only set these keys,
# which choose among what the user has, and none that decide where texts are sent.
PROJECT_KEYS = (
    *("collection", "embed_model", "rerank_model", "color", "hyperlink_format"),
    *("mode", "limit", "candidates", "budget"),
)
_ALIAS = re.compile(r"[A-Za-z0-9][\w.+-]*(:\w+)?")

Models = dict[str, list[tuple[dict[str, Any], Path]]]


def load_settings(folder: Path | None = None) -> Settings:
    """Read the settings for a working folder (default: the current one).

    Raises InputError for a config file that is not valid TOML, has an unknown key or, in a project,
    a key that is not allowed there.
    """
    require_type("folder", folder, Path, NoneType)
    models: Models = {role: [] for role in MODELS}
    values = _read(user_file(), models)
    sources = dict.fromkeys(values, str(user_file()))
    trusted = [Path(name) for name in values.get(TRUSTED, "").split(os.pathsep) if name]
    project = _project(folder)
    untrusted = None
    if project and not _is_trusted(project, trusted):
        project, untrusted = None, project
    if project:
        of_project = _read_project(project / CONFIG_NAME, models)
        values |= of_project
        sources |= dict.fromkeys(of_project, str(project / CONFIG_NAME))
    variables = {key: f"QRANK_{key.upper()}" for key in KEYS if key != TRUSTED}
    environment = {key: os.environ.get(name) for key, name in variables.items()}
    values |= {key: value for key, value in environment.items() if value}
    sources |= {key: variables[key] for key, value in environment.items() if value}
    git_excludes, ignore_case = _git_config()
    return Settings(
        values,
        sources,
        project,
        untrusted,
        models,
        global_ignores=(user_file().with_name("ignore"),),
        git_excludes=git_excludes,
        ignore_case=ignore_case,
        home=_home(),
        api_key=os.environ.get("QRANK_API_KEY") or None,
    )


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # noqa: PTH111  (Path.home may raise)


def _project(folder: Path | None) -> Path | None:
    """The nearest .qrank folder with an index, in folder or above it."""
    try:
        start = (folder or Path.cwd()).absolute()
    except FileNotFoundError:  # the working folder was deleted
        return None
    for place in (start, *start.parents):
        if (place / PROJECT_FOLDER / INDEX_NAME).is_file():
            return place / PROJECT_FOLDER
    return None


def _is_trusted(project: Path, trusted: list[Path]) -> bool:
    """Whether a .qrank folder and its files belong to this user (under sudo: or to the caller), or
    it is below one of the trusted folders. Compare CVE-2022-24765 of git."""
    place = Path(os.path.realpath(project.parent))
    if any(place.is_relative_to(os.path.realpath(folder.expanduser())) for folder in trusted):
        return True
    if not hasattr(os, "geteuid"):  # Windows has no such owners
        return True
    users = {os.geteuid()}
    if 0 in users and os.environ.get("SUDO_UID", "").isdecimal():
        users.add(int(os.environ["SUDO_UID"]))
    for path in (project, project / INDEX_NAME, project / CONFIG_NAME):
        for follow in (False, True):  # both a symlink and its target
            try:
                owner = path.stat(follow_symlinks=follow).st_uid
            except OSError:
                continue
            if owner not in users:
                return False
    return True


def user_file() -> Path:
    """The path of the user's config file."""
    return files.user_folder("config") / CONFIG_NAME


def project_file(settings: Settings) -> Path:
    """The path of the project's config file. Raises InputError when there is no project, or it is
    not trusted."""
    settings.require_trusted()
    if settings.project is None:
        raise InputError("this folder is not in a project", hint="create one with: qrank init")
    return settings.project / CONFIG_NAME


def write(path: Path, key: str, value: str | None) -> None:
    """Set a key in a config file, and leave the rest of the file as it is; None removes the key.

    Raises InputError for an invalid value, or a file that is not valid or can't be written.
    """
    import tomlkit

    if value is not None:
        check(key, value)
    models: Models = {role: [] for role in MODELS}
    if path == user_file():
        _read(path, models)  # raises if the file is not valid
    else:
        _require_allowed({key: value} if value is not None else {}, models, path)
        _read_project(path, models)
    typed: object = value
    if value is not None and key in NUMBERS:
        typed = int(value)
    elif value is not None and key in SECONDS:
        typed = float(value) if "." in value or "e" in value.lower() else int(value)
    elif value is not None and key == TRUSTED:
        typed = [str(Path(name).expanduser().absolute()) for name in value.split(os.pathsep)]
    elif value is not None and key == "map":
        typed = ["=".join(each) for each in moves(value)]
    try:
        text = path.read_text("utf-8") if path.exists() else ""
        table = tomlkit.parse(text)
        if value is None:
            table.pop(key, None)
        else:
            table[key] = typed
        files.write_text(path, tomlkit.dumps(table))
    except OSError as error:
        raise InputError(f"can't write {path}: {files.reason(error)}") from error


def _git_config() -> tuple[Path, bool]:
    """(git's global ignore file, core.ignoreCase), from git's config for this user."""
    configs = Path(os.environ.get("XDG_CONFIG_HOME") or _home() / ".config") / "git"
    values: git.Config = {}
    places = [] if os.environ.get("GIT_CONFIG_NOSYSTEM") else [Path("/etc/gitconfig")]
    if config := os.environ.get("GIT_CONFIG_GLOBAL"):
        places.append(Path(config))
    else:
        places += [configs / "config", _home() / ".gitconfig"]
    for place in places:
        values |= git.read_config(str(place))
    excludes = values.get("core.excludesfile")
    file = configs / "ignore" if excludes is None else Path(os.path.expanduser(excludes))  # noqa: PTH111  (no error for ~nobody)
    return file, git.is_true(values.get("core.ignorecase"))


def _read_project(path: Path, models: Models) -> dict[str, str]:
    """Read a project's config. Raises InputError for keys that are not allowed there."""
    own: Models = {role: [] for role in MODELS}
    values = _read(path, own)
    if any(own.values()):
        raise _not_allowed(path, f"the table {next(role for role in MODELS if own[role])}")
    _require_allowed(values, models, path)
    return values


def _require_allowed(values: dict[str, str], models: Models, path: Path) -> None:
    """Raise InputError for keys and values that a project can't set. models: the user's own."""
    for key, value in values.items():
        if key not in PROJECT_KEYS:
            raise _not_allowed(path, f"the setting {key!r}")
        if key in ("embed_model", "rerank_model"):
            # Only an alias: no path, source or URL, and no alias of a server.
            if not _ALIAS.fullmatch(value) or value.lower().endswith(".gguf"):
                raise _not_allowed(path, f"{key} = {value!r}, which is not the alias of a model")
            alias = value.partition(":")[0]
            own = [line for tables in models.values() for line, _ in tables]
            if any(line.get("alias") in (alias, value) and _is_server(line) for line in own):
                raise _not_allowed(path, f"{key} = {value!r}, which a server runs")
        if key == "hyperlink_format" and not value.isalpha():
            raise _not_allowed(path, f"{key} = {value!r}, which is not the name of a format")


def _is_server(line: dict[str, Any]) -> bool:
    return "server" in line or is_url(str(line.get("source", "")))


def _not_allowed(path: Path, what: str) -> InputError:
    return InputError(
        f"{path}: a project can't set {what}",
        hint="put it into your own config.toml, or use a flag; "
        f"a project can set {', '.join(PROJECT_KEYS)}",
    )


def _read(path: Path, models: Models) -> dict[str, str]:
    """Read a config file's settings; its tables of models are appended to models. Raises
    InputError when it is not valid."""
    try:
        if not path.exists():  # the usual case, which needs no parser
            return {}
        import tomllib

        table: dict[str, Any] = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error
    for role in MODELS:
        lines = table.pop(role, [])
        if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
            raise InputError(f"{path}: models belong in [[{role}]] tables")
        models[role] += [(line, path) for line in lines]
    for key, value in table.items():
        if key not in KEYS:
            raise InputError(f"{path}: there is no setting {key!r}", hint=suggestion(key, KEYS))
        if key in LISTS:
            table[key] = LISTS[key].join(_texts(path, key, value))
        elif not isinstance(value, _types(key)) or isinstance(value, bool):
            kind = "a string" if _types(key) == (str,) else "a number"
            raise InputError(f"{path}: the setting {key!r} must be {kind}")
    if "db" in table and not is_url(table["db"]):  # relative to the config file
        table["db"] = str(path.parent / Path(table["db"]).expanduser())
    return {key: str(value) for key, value in table.items()}


def _types(key: str) -> tuple[type, ...]:
    if key in SECONDS:
        return (int, float)
    return (int,) if key in NUMBERS else (str,)


def _texts(path: Path, key: str, value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        what = "folders" if key == TRUSTED else "OLD=NEW"
        raise InputError(f"{path}: the setting {key!r} must be a list of {what}")
    return texts
