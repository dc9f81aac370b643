"""The command's entry: python -m qrank, and the script that is installed."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C while it is still being imported ends it as quietly as later."""
    try:
        from qrank.serve import client  # before anything that takes time to import

        status = client.run(sys.argv[1:])
        if status is not None:
            sys.exit(status)
        from qrank.cli import streams

        streams.set_up()  # before anything is opened
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
