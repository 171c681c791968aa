"""How many there are of something, for a reader."""


def plural(count: int, noun: str) -> str:
    """As 1 run or 1,250 runs."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
