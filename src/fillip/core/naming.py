"""What others may name things: events, users, reversals, spends, and how long keys of counters and instances may be."""

MAX_ID_BYTES = 256
"""In UTF-8. An index row of PostgreSQL holds 2,704 bytes, and the longest one has three such ids and a key."""


MAX_SOURCE_BYTES = 1024
"""Of an event's source: more than an id, since it is a URI and stands in no index."""

DOTS = frozenset({".", ".."})
"""No ids: they stand in paths, and clients take such a segment out of a path before they send it, whatever its spelling."""


def fits(text: str, most: int = MAX_ID_BYTES) -> bool:
    """Whether a text has at most `most` bytes in UTF-8."""
    return len(text) <= most and (text.isascii() or len(text.encode(errors="surrogatepass")) <= most)
