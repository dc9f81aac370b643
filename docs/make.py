"""Makes what the documentation shows of the program: the reference of commands, and a picture.

    python docs/make.py [--check]

--check changes nothing and fails when either is not current. Scores and times may differ between
machines, so that of the picture only the words are compared.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pexpect
from rich.console import Console
from rich.text import Text

from qrank.cli.app import root
from qrank.cli.shell import manual

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "sample_corpus"
COMMAND = Path(sys.executable).parent / "qrank"
WORDS = ["search", "my starter smells of nail varnish", "-n", "3"]
COLUMNS = 96
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def picture() -> str:
    """An SVG of what a search shows on a terminal."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(SAMPLE, Path(folder) / "sample_corpus")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("QRANK_", "NO_COLOR"))}
        own = {"HOME": folder, "XDG_DATA_HOME": folder, "COLUMNS": str(COLUMNS)}
        environment = kept | own | {"TERM": "xterm-256color"}
        for words in (["init"], ["index", "sample_corpus"], WORDS):  # the last warms the cache
            subprocess.run(
                [COMMAND, *words], cwd=folder, env=environment, check=True, capture_output=True
            )
        command = shlex.join([str(COMMAND), *WORDS])
        shown = pexpect.run(
            shlex.join(["sh", "-c", f"{command} 2>/dev/null"]),  # no sign of life in the picture
            cwd=folder,
            env=environment,
            encoding="utf-8",
            dimensions=(50, COLUMNS),
        )
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(Text(f'$ qrank {WORDS[0]} "{WORDS[1]}" {" ".join(WORDS[2:])}', style="bold"))
    console.print(Text.from_ansi(shown.replace("\r\n", "\n").rstrip()))
    return console.export_svg(title="qrank", unique_id="qrank")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    stale = 0
    for name, text in (("commands.md", manual.markdown(root())), ("search.svg", picture())):
        path = HERE / name
        held = path.read_text("utf-8") if path.exists() else ""
        same = held == text
        if name.endswith(".svg"):
            same = NUMBER.sub("#", held) == NUMBER.sub("#", text)
        if same:
            continue
        stale += 1
        if check:
            print(f"docs/{name} is not current: run python docs/make.py")
        else:
            path.write_text(text, encoding="utf-8")
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(main())
