"""API keys as text: `fk_live_` or `fk_test_`, 43 characters of 256 random bits, and a checksum of 6."""

from hashlib import sha256
from secrets import token_urlsafe
from zlib import crc32

PREFIXES = ("fk_live_", "fk_test_")
SHOWN = 12
"""How many first characters of a key are kept readable, to tell keys apart."""

_LENGTH = len(PREFIXES[0]) + 43 + 6
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def make_key(*, test: bool = False) -> str:
    """A new random key; `test` only shows in its prefix."""
    body = PREFIXES[test] + token_urlsafe(32)
    return body + _sum(body)


def hash_key(key: str) -> bytes | None:
    """The SHA-256 under which a key is stored; None for a text that cannot be a key (a typing error costs no query)."""
    if len(key) != _LENGTH or not key.isascii() or not key.startswith(PREFIXES) or _sum(key[:-6]) != key[-6:]:
        return None
    return digest_key(key)


def digest_key(key: str) -> bytes:
    """The same of any text: what is known under it is a key, and need not be looked at for typing errors."""
    return sha256(key.encode()).digest()


def _sum(body: str) -> str:
    left, digits = crc32(body.encode()), ""
    for _ in range(6):
        left, digit = divmod(left, 62)
        digits = _DIGITS[digit] + digits
    return digits
