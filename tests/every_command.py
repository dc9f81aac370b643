"""Example invocations of every command, for tests that are about all of them. test_edges.py fails
when a command has none here and is not listed as printing nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from support import COMMAND, PARITY, clean_environment

BM25 = "--mode bm25 --db i.db"
LINES = {  # in the folder that make() fills; where it can be, of several forms of output
    "index": [
        "index notes --no-embed --db i.db",
        "index notes --no-embed --json --db i.db",
        "index notes --dry-run",
    ],
    "search": [
        f"search kestrel {BM25}",
        f"search kestrel {BM25} --json",
        f"search kestrel {BM25} --jsonl",
        f"search kestrel {BM25} -l",
        f"search kestrel {BM25} -0",
        f"search kestrel {BM25} --count",
        f"search kestrel {BM25} --format {{path}}",
        f"search kestrel {BM25} --max-tokens 100",
        f"search kestrel {BM25} --explain",
        f"search kestrel {BM25} --full",
        f"search kestrel {BM25} -C 1",
        f"search kestrel {BM25} --color always",
        f"search --queries q.txt {BM25}",
    ],
    "similar": [f"similar notes/a.md {BM25}", f"similar notes/a.md {BM25} --jsonl"],
    "fields": ["fields --db i.db", "fields tags --db i.db", "fields --json --db i.db"],
    "links": ["links notes/a.md --db i.db", "links notes/c.md --json --db i.db"],
    "get": ["get notes/a.md --db i.db", "get notes/a.md:1-1 --db i.db --jsonl"],
    "chunks": ["chunks notes", "chunks notes --jsonl"],
    "rerank": ["rerank kestrel --rerank-model tiny", "rerank kestrel --rerank-model tiny --json"],
    "embed": ["embed --embed-model tiny"],
    "eval": [
        "eval q.jsonl --configs bm25 --db i.db",
        "eval q.jsonl --configs bm25 --json --db i.db",
    ],
    "status": ["status --db i.db", "status --json --db i.db"],
    "remove": ["remove notes --db i.db"],
    "vacuum": ["vacuum --db i.db"],
    "export": ["export - --db i.db", "export /dev/stdout --db i.db"],
    "import": ["import export.jsonl --db i.db", "import export.jsonl --json --db i.db"],
    "doctor": ["doctor --index --db i.db"],
    "init": ["init --db i.db", "init"],
    "schema": ["schema search", "schema index"],
    "completions": ["completions bash", "completions zsh", "completions fish", "completions fzf"],
    "man": ["man", "man search"],
    "mcp install": ["mcp install claude --print"],
    "serve unit": ["serve unit systemd", "serve unit launchd"],
    "models recommend": ["models recommend"],
    "models list": ["models list", "models list --json"],
    "models show": ["models show tiny"],
    "models pull": ["models pull tiny --role embedder"],
    "models verify": ["models verify tiny"],
    "models bench": ["models bench tiny --role embedder -q"],
    "config get": ["config get color"],
    "config list": ["config list", "config list --json"],
    "config path": ["config path"],
    "collections set": ["collections set default description birds --db i.db"],
}
SILENT = {
    "tui": "takes the terminal",
    "open": "runs an editor",
    "verify": "needs citations",
    "models import": "needs a published model; prints as quantize",
    "models quantize": "says on stderr what it does before it prints the file's path",
    "models remove": "needs a pulled model",
    "config set": "prints nothing",
    "serve status": "says whether one runs, with status 1 when none does",
    "serve stop": "prints nothing on stdout",
}
STDIN = [  # what reads stdin
    "search - --db i.db",
    "search --queries - --db i.db",
    "get - --db i.db",
    "verify",
    "rerank kestrel",
    "rerank kestrel --files",
    "embed",
    "import - --db i.db",
]


def make(folder: Path) -> None:
    """Fill a folder with what LINES name."""
    (folder / "notes").mkdir()
    (folder / "notes" / "a.md").write_text("A kestrel hovers.\n", "utf-8")
    (folder / "notes" / "c.md").write_text("---\ntags: [bird]\n---\nAn owl, see [[a]].\n", "utf-8")
    (folder / "notes" / "b.md").write_text("The kestrel is a falcon.\n", "utf-8")
    (folder / "q.txt").write_text("kestrel\n", "utf-8")
    asked = {"query": "kestrel", "relevant": "notes/a.md"}
    (folder / "q.jsonl").write_text(json.dumps(asked) + "\n", "utf-8")
    (folder / "f32.gguf").write_bytes((PARITY / "embed.gguf").read_bytes())
    for words in ("index notes --embed-model tiny --db i.db", "export export.jsonl --db i.db"):
        subprocess.run(
            [COMMAND, *words.split()],
            cwd=folder,
            env=clean_environment(folder),
            check=True,
            capture_output=True,
        )
    (folder / "i.db").rename(folder / "whole.db")
