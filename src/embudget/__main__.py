"""Entry point of `embudget` and `python -m embudget`."""

import os
import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # Ctrl-C while the rest is imported
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))

from embudget.cli.app import main

if __name__ == "__main__":
    main()
