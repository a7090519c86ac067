"""The texts that name things in addresses and bodies, with their bounds."""

from typing import Annotated

from pydantic import AfterValidator, Field

from fillip.core.naming import DOTS, MAX_ID_BYTES, MAX_SOURCE_BYTES, fits


def _bound_bytes(text: str) -> str:
    if fits(text):
        return text
    raise ValueError(f"must not be longer than {MAX_ID_BYTES} bytes in UTF-8")


def _bound_source(text: str) -> str:
    if fits(text, MAX_SOURCE_BYTES):
        return text
    raise ValueError(f"must not be longer than {MAX_SOURCE_BYTES} bytes in UTF-8")


def _refuse_dots(text: str) -> str:
    if text in DOTS:
        raise ValueError("must not be . or .., which can't stand in a path")
    return text


_IN_BYTES = AfterValidator(_bound_bytes)
NO_DOTS = AfterValidator(_refuse_dots)
_BOUND = f"At most {MAX_ID_BYTES} bytes in UTF-8, not . or .."
UserId = Annotated[
    str, Field(min_length=1, max_length=MAX_ID_BYTES, description=_BOUND, examples=["ada"]), _IN_BYTES, NO_DOTS
]
OwnId = Annotated[
    str, Field(min_length=1, max_length=MAX_ID_BYTES, description=_BOUND, examples=["order-4711"]), _IN_BYTES, NO_DOTS
]
"""An id that the tenant gives: of an event, a reversal, a spend or an adjustment."""
Source = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_SOURCE_BYTES,
        description=f"The event's source. At most {MAX_SOURCE_BYTES:,} bytes in UTF-8",
        examples=["/shop/till-7"],
    ),
    AfterValidator(_bound_source),
]
TenantId = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$", examples=["grocer"])]
ActionId = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_.-]{0,99}$", examples=["PURCHASE"])]
CohortId = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$", examples=["households-26"])]
ListId = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,62}$", examples=["premium_skus"])]
Title = Annotated[str, Field(min_length=1, max_length=200, examples=["Grocer & Co"])]
