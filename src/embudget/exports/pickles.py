"""Is a file a pickle, whatever its name? A pickle is a program, which may call anything when it is loaded.

Protocols 2 to 5 begin with a byte that says so. Protocols 0 and 1 have no such mark: there the file is read as the
program that it would be, without running it, instruction by instruction on a stack of kinds. It is a pickle if it gets
as far as calling something, or if the whole file is such programs, one after the other. Texts, JSON, XML, safetensors,
ONNX and GGUF fail at the first instructions; so do numbers such as OpenVINO's `.bin`, but for a chance that vanishes.
"""

import mmap
import pickletools
import warnings
import zipfile
from pathlib import Path

_ENDS = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".dill")
"""Ends of names that pickles have."""

_FIRST = frozenset(b"\x95\x8a}](cKXM)N\x8c")
"""Operations that a pickle of protocol 2 to 5 begins with."""

_CALLS = ("REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX")
"""Instructions that call what the pickle names."""

_TAKES_TUPLE = ("REDUCE", "NEWOBJ")


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, by its name or its content; torch's are in a zip archive."""
    if path.suffix.lower() in _ENDS:
        return True
    with path.open("rb") as file:
        start = file.read(3)
        if start[:2] == b"PK" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return any(name.endswith(".pkl") for name in archive.namelist())
        # the protocol, then an operation that pickles begin with; weights alone hardly ever look so
        if len(start) == 3 and start[0] == 0x80 and 2 <= start[1] <= 5 and start[2] in _FIRST:
            return True
        if not start:  # which cannot be mapped
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _calls_or_ends(content)


def _calls_or_ends(content: mmap.mmap) -> bool:
    """Whether programs of the pickle language fill a file, or one of them reaches a call."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickletools warns of escape sequences in numbers
            while content.tell() < len(content):
                if _program_calls(content):
                    return True
    except (ValueError, IndexError, KeyError):  # no instruction, or one whose values are not on the stack
        return False
    return True


def _program_calls(content: mmap.mmap) -> bool:
    """Follow one program to its first call, or to its end; whether it calls.

    Raises:
        ValueError, IndexError, KeyError: it is no program.
    """
    stack: list[pickletools.StackObject] = []
    memo: dict[int, pickletools.StackObject] = {}
    for operation, argument, _ in pickletools.genops(content):  # type: ignore[arg-type] # it takes whatever is read
        name = operation.name
        if name in _CALLS and not (name in _TAKES_TUPLE and stack[-1] is not pickletools.pytuple):
            _take(stack, operation.stack_before)
            return True
        if "PUT" in name or name == "MEMOIZE":
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif "GET" in name:
            stack.append(memo[int(argument or 0)])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "POP":
            stack.pop()
        else:
            _take(stack, operation.stack_before)
            stack += operation.stack_after
    return False


def _take(stack: list[pickletools.StackObject], wanted: list[pickletools.StackObject]) -> None:
    """Take what an instruction needs off the stack: all down to the last mark, then one for each value before it."""
    if pickletools.markobject in wanted:
        while stack.pop() is not pickletools.markobject:
            pass
        wanted = wanted[: wanted.index(pickletools.markobject)]
    for _ in wanted:
        if stack.pop() is pickletools.markobject:
            raise ValueError("a mark is no value")
