"""What an index file holds, counted."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from qrank.store import decode


def status(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """What the index at path holds, as `qrank status --json` says it."""
    run = connection.execute
    counts = run(
        "SELECT (SELECT count(*) FROM file WHERE member = ''), (SELECT count(*) FROM chunk), "
        "(SELECT count(*) FROM passage)"
    ).fetchone()
    counted = run("SELECT model_id, count(*), sum(cut) FROM vector GROUP BY model_id")
    kinds = (int, int, int)
    vectors = {model: (n, cut) for model, n, cut in decode.rows(counted, kinds, "a vector")}
    return {
        "schema": 1,
        "db": str(path),
        "files": counts[0],
        "chunks": counts[1],
        "passages": counts[2],
        "bytes": path.stat().st_size,
        "collections": [
            {"name": name, "files": files}
            for name, files in decode.rows(
                run(
                    "SELECT collection, count(*) FROM file WHERE member = '' "
                    "GROUP BY collection ORDER BY collection"
                ),
                (str, int),
                "a file",
            )
        ],
        "models": [
            {"name": name, "sha256": sha256, "dims": dims}
            | dict(zip(("vectors", "cut"), vectors.get(model, (0, 0)), strict=True))
            for model, name, sha256, dims in decode.rows(
                run("SELECT id, name, sha256, dims FROM model ORDER BY id"),
                (int, str, str, int),
                "a model",
            )
        ],
    }
