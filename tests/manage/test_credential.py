"""API keys as text."""

from hashlib import sha256

import pytest

from fillip.manage.key.format import hash_key, make_key


def test_a_key_has_its_shape_and_is_stored_as_a_hash() -> None:
    key = make_key()
    assert key.startswith("fk_live_") and make_key(test=True).startswith("fk_test_")
    assert len(key) == 8 + 43 + 6
    assert hash_key(key) == sha256(key.encode()).digest()
    assert len({make_key() for _ in range(100)}) == 100


@pytest.mark.parametrize("wrong", ["", "fk_live_", "é" * 57, "x" * 57, "fk_live_" + "A" * 49])
def test_what_cannot_be_a_key_is_told_without_a_query(wrong: str) -> None:
    assert hash_key(wrong) is None


def test_one_changed_character_is_noticed() -> None:
    key = make_key()
    for place in range(8, len(key)):
        changed = key[:place] + ("a" if key[place] != "a" else "b") + key[place + 1 :]
        assert hash_key(changed) is None
