"""API keys of servers: from the environment or a keyring, never from a file or a URL."""

from __future__ import annotations

import os

from qrank.errors import InputError

VARIABLE = "QRANK_API_KEY"
SERVICE = "qrank"  # in a keyring; the user name there is the server's host


def find(host: str, variable: str = "", default: str | None = None) -> str | None:
    """The key for a host: from the environment variable if one is named, else the default (that of
    QRANK_API_KEY), else from the keyring.

    Raises InputError when variable is named but not set.
    """
    if variable:
        if not os.environ.get(variable):
            raise InputError(
                f"the key of {host} should be in {variable}, which is not set",
                hint=f"export {variable}=…",
            )
        return os.environ[variable]
    return default or _in_keyring(host)


def _in_keyring(host: str) -> str | None:
    """The key that the user stored with `keyring set qrank HOST`; None without one, or without the
    keyring package."""
    try:
        import keyring
    except ImportError:
        return None
    try:
        key = keyring.get_password(SERVICE, host)
    except Exception:  # there is no backend, or it is locked
        return None
    return str(key) if key else None


INDEX_VARIABLE = "QRANK_INDEX_KEY"


def of_index(host: str) -> str | None:
    """The key for the search engine of an index: QRANK_INDEX_KEY, else from the keyring. The key of
    model servers is never sent there."""
    return os.environ.get(INDEX_VARIABLE) or _in_keyring(host)
