"""Ignore rules mean what pathspec says, and none takes hours for a long name."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from pathspec import GitIgnoreSpec
from support import Run

from qrank.ingest.ignore import Globs

Qrank = Callable[..., Run]


def test_every_rule_matches_what_it_did() -> None:
    random_ = random.Random(1)
    pieces = [
        "*",
        "*",
        "*",
        "a",
        "b",
        "ab",
        "?",
        "/",
        "/",
        "**/",
        "/**/",
        "[ab]",
        "\\*",
        ".",
        "/**",
    ]
    matched = 0
    for _ in range(4000):
        rule = "".join(random_.choices(pieces, k=random_.randint(3, 12)))
        try:
            plain = GitIgnoreSpec.from_lines([rule])
        except ValueError:
            continue
        if not rule.strip("/"):
            continue
        globs = Globs([f"!{rule}"])
        for _ in range(15):
            path = "".join(random_.choices(["a", "b", "ab", "/", "/", ".", "*"], k=8)).strip("/")
            path = "/".join(filter(None, path.split("/")))
            if path:
                ignored = bool(plain.check_file(path).include)
                matched += ignored
                assert (globs.verdict(path, is_folder=False) is False) == ignored, (rule, path)
    assert matched > 1000


@pytest.mark.parametrize("rule", ["*a" * 12 + "*b", "a/**/" * 12 + "b", "**/*a*a*a*a*a*a*/**/*b"])
def test_a_rule_with_many_stars_takes_no_hours(qrank: Qrank, tmp_path: Path, rule: str) -> None:
    deep = tmp_path / "notes" / "/".join(["a"] * 200)
    deep.mkdir(parents=True)
    (tmp_path / "notes" / ".gitignore").write_text(f"{rule}\n", "utf-8")
    (deep / ("a" * 250)).write_text("The note.\n", "utf-8")
    run = qrank("index", "notes", "--no-embed", "--db", "i.db", "--json")
    assert run.json()["files"]["added"] == 1
