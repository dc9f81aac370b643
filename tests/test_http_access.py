"""The token of qrank over HTTP, and the cookies that are made with it."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from qrank.errors import InputError
from qrank.web.access import Access, read_token


def test_a_cookie_of_another_token_or_of_last_month_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access = Access("a" * 40)
    session = access.new_session()
    assert access.has_session(session)
    assert not Access("b" * 40).has_session(session)
    now = int(session.partition(".")[0])
    monkeypatch.setattr("time.time", lambda: now + 1.0)
    assert not access.has_session(session)


def test_the_token_is_the_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "token"
    found: list[str] = []
    makers = [threading.Thread(target=lambda: found.append(read_token(path))) for _ in range(16)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(found) == 16
    assert len(set(found)) == 1
    assert [file.name for file in path.parent.iterdir()] == ["token"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(InputError, match="may be read by others"):
        read_token(path)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(InputError, match="contains no token"):
        read_token(path)
    path.unlink()
    other = tmp_path / "other"
    other.write_text("x" * 40)
    path.symlink_to(other)
    with pytest.raises(InputError, match="can't use the token"):
        read_token(path)
