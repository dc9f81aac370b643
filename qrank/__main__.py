"""The entry point of the command line: `python -m qrank`, and the installed script."""

import gc
import sys

# Objects that are made before Python looks for cycles among them. Its own value, 700, makes it look
# at all imported modules again and again, which takes a twentieth of the time of a short command.
YOUNG = 50_000


def main() -> None:
    """Run the command line. Ctrl-C prints one line, also while modules are being imported."""
    gc.set_threshold(YOUNG)
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
    gc.freeze()  # at exit, Python would look for cycles among all objects
    sys.exit(status)


if __name__ == "__main__":
    main()
