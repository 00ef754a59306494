"""How many of something, in words that fit the number."""


def counted(n: int, noun: str) -> str:
    """Say how many: `1 picture`, `2,000 pictures`, `1 entry`, `0 entries`."""
    if n == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{n:,} {plural}"
