"""What is wrong with an envelope, at its place and with what is wanted there."""

from typing import Any

import pytest
from msgspec import json

from fillip.core.envelope import open_envelope
from fillip.core.errors import Unreadable

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e1",
    "source": "/till",
    "type": "BUY",
    "subject": "ada",
    "time": "2026-01-31T09:30:00Z",
}


@pytest.mark.parametrize(
    ("event", "at", "told"),
    [
        ({name: value for name, value in EVENT.items() if name != "time"}, "/time", "is needed"),
        ({"specversion": "1.0"}, "/id", "is needed"),
        (EVENT | {"specversion": "0.3"}, "/specversion", 'must be "1.0", the version of CloudEvents'),
    ],
)
def test_a_field_that_is_missing_is_named_as_the_place(event: dict[str, Any], at: str, told: str) -> None:
    with pytest.raises(Unreadable) as refused:
        open_envelope(json.encode(event))
    assert (refused.value.at, str(refused.value)) == (at, told)
