"""Entry point of `embudget` and `python -m embudget`."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C while it is being loaded, which takes 0.2 s, ends it like any other."""
    try:
        from embudget.cli.app import main as run
    except KeyboardInterrupt:
        print("embudget: interrupted", file=sys.stderr)  # noqa: T201 - what prints otherwise is not there yet
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
