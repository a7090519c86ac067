"""Random coupon codes after a pattern."""

from base64 import b32encode
from secrets import token_bytes

ALPHABET = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 symbols, 5 bits each, without 0 and O, 1 and I."""
_FROM_BASE32 = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", ALPHABET)


def make_codes(pattern: str, count: int) -> list[str]:
    """`count` codes: each # of the pattern is a random symbol, all else stands as it is."""
    width, form = pattern.count("#"), pattern.replace("#", "%s")
    symbols = b32encode(token_bytes(-(-width * count * 5 // 8))).translate(_FROM_BASE32).decode()
    return [form % tuple(symbols[at : at + width]) for at in range(0, width * count, width)]
