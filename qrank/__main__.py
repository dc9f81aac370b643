"""The command's entry: python -m qrank, and the script that is installed."""

import os
import sys


def main() -> None:
    """Run the command line. Ctrl-C while it is still being imported ends it as quietly as later."""
    if sys.stdout is None or sys.stderr is None:  # closed by the caller: qrank … >&-
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    try:
        from qrank.cli.app import run

        status = run()
    except KeyboardInterrupt:
        print("qrank: interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
