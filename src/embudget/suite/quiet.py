"""Loading without a library's progress bars, and with its failures as one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from embudget.errors import EmbudgetError, ModelError, first_line


@contextmanager
def quietly() -> Iterator[None]:
    """Silence transformers within the block: its progress bars, and its reports of weights that were not used."""
    from transformers.utils import logging

    verbosity, with_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if with_bars:
            logging.enable_progress_bar()


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Load quietly within the block, and turn a library's failure into one line that says what could not be loaded.

    Raises:
        ModelError: transformers, safetensors or the file system failed.
    """
    try:
        with quietly():
            yield
    except (EmbudgetError, MemoryError):
        raise
    except Exception as error:  # about files that anybody may have written, the libraries raise anything
        raise ModelError(f"cannot load {name}: {first_line(error)[:200]}") from error
