"""Entry point of `embudget` and `python -m embudget`."""

from embudget.cli.app import main

if __name__ == "__main__":
    main()
