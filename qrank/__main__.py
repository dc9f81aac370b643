"""The entry point of the command line: `python -m qrank`, and the installed script."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C prints one line, also while modules are being imported."""
    try:
        from qrank.serve import client  # before any import that takes time

        status = client.run(sys.argv[1:])
        if status is not None:
            sys.exit(status)
        from qrank.cli import streams

        streams.set_up()  # before any file is opened
        try:
            from qrank.cli.app import run

            status = run()
        finally:
            streams.flush_stdout()
    except KeyboardInterrupt:
        from qrank.cli import streams

        streams.discard_output()
        print("qrank: interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
