"""What an erased user is called, whether bytes are of a user, and how long copies stay that only time removes."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import msgspec

TOPICS_KEEP_FOR = timedelta(days=8)
"""Topics keep records for 7 days, in segments of at most a day; the one that is compacted holds nothing of users."""
MEMORY_KEEPS_FOR = timedelta(days=2)
"""In Valkey: users of hot campaigns stand there for two windows, of a day at most; counters are named by a hash."""
ANSWERS_KEEP_FOR = timedelta(days=1)
"""Answers to requests with an Idempotency-Key."""
REPORTS_KEEP_FOR = timedelta(minutes=10)
"""A day file that another has replaced: queries that began before read it."""

_PSEUDONYM = re.compile("erased-[0-9a-f]{32}")


def name_erased(random: bytes) -> str:
    """A pseudonym from 16 random bytes: nothing of the user is in it."""
    return f"erased-{random.hex()}"


def is_erased(user_id: str) -> bool:
    """Whether it is the pseudonym of an erased user."""
    return _PSEUDONYM.fullmatch(user_id) is not None


def tells_of(original: bytes, user_id: str) -> bool:
    """Whether a text in it is the id; of what can't be read as JSON, whether the id stands in it as a word."""
    try:
        said = msgspec.json.decode(original)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        spelt = {user_id, msgspec.json.encode(user_id).decode()[1:-1], json.dumps(user_id)[1:-1]}
        words = b"|".join(re.escape(each.encode()) for each in sorted(spelt, key=len, reverse=True))
        return re.search(rb"(?<![\w.@-])(?:" + words + rb")(?![\w.@-])", original) is not None
    return any(text == user_id for text in _list_texts(said))


def _list_texts(said: object) -> Iterator[str]:
    waiting = [said]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case dict() as members:
                waiting += [*members.keys(), *members.values()]
            case list() as items:
                waiting += items
