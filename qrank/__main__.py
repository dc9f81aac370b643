"""python -m qrank."""

from qrank.cli.app import main

if __name__ == "__main__":
    main()
