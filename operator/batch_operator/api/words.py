"""Texts of bounded length: what strangers wrote ends up in status, Events and logs."""

MAX_WORDS = 1000


def shortened(text: str, limit: int = MAX_WORDS) -> str:
    """At most `limit` characters; a cut shows as an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def one_line(text: str, limit: int = MAX_WORDS) -> str:
    """Likewise, on one line and printable."""
    return shortened(" ".join("".join(c if c.isprintable() else " " for c in text).split()), limit)


def within_bytes(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, never a part of a character."""
    return text if len(text.encode()) <= limit else text.encode()[:limit].decode(errors="ignore")
