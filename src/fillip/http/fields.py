"""What bodies and addresses are made of: ids, names, instants and texts, each with its bounds."""

from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from fillip.core.instant import bound_time, list_zones, read_instant
from fillip.core.local_day import is_day, read_day
from fillip.core.naming import DOTS, MAX_ID_BYTES, MAX_SOURCE_BYTES, fits

MAX_RULE_LENGTH = 8192
MAX_PAYLOAD_BYTES = 16_384


def give_examples(*examples: dict[str, Any]) -> ConfigDict:
    """The `model_config` of a body or an answer that shows these examples in the documentation."""
    return ConfigDict(json_schema_extra={"examples": [*examples]})


class Part(BaseModel):
    """A part of a request body: unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


def _bound_bytes(most: int) -> AfterValidator:
    def check(text: str) -> str:
        if fits(text, most):
            return text
        raise ValueError(f"must not be longer than {most} bytes in UTF-8")

    return AfterValidator(check)


def _refuse_dots(text: str) -> str:
    if text in DOTS:
        raise ValueError("must not be . or .., which can't stand in a path")
    return text


def _read_instant(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return read_instant(value)
    raise ValueError("must be a date-time such as 2026-01-31T09:30:00Z")


def _read_instant_or_day(value: object) -> object:
    if isinstance(value, str) and is_day(value):
        return read_day(value)
    try:
        return _read_instant(value)
    except ValueError as error:
        raise ValueError(str(error).replace("must be a", "must be a day such as 2026-06-19, or a", 1)) from None


def _read_day(value: object) -> object:
    if isinstance(value, str) and is_day(value):
        return read_day(value)
    raise ValueError("must be a day such as 2026-06-19")


def _want_zone(name: str) -> str:
    if name in list_zones():
        return name
    raise ValueError("not an IANA time zone such as Europe/Berlin")


def _want_words(text: str) -> str:
    if text.isspace():
        raise ValueError("says nothing: it has spaces alone")
    return text


def _bound_payload(value: dict[str, Any]) -> dict[str, Any]:
    if len(msgspec.json.encode(value)) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"must not be larger than {MAX_PAYLOAD_BYTES} bytes as JSON")
    return value


_IN_BYTES = _bound_bytes(MAX_ID_BYTES)
NO_DOTS = AfterValidator(_refuse_dots)
_BOUND = f"At most {MAX_ID_BYTES} bytes in UTF-8, not . or .."
UserId = Annotated[
    str, Field(min_length=1, max_length=MAX_ID_BYTES, description=_BOUND, examples=["ada"]), _IN_BYTES, NO_DOTS
]
OwnId = Annotated[
    str, Field(min_length=1, max_length=MAX_ID_BYTES, description=_BOUND, examples=["order-4711"]), _IN_BYTES, NO_DOTS
]
"""An id that the tenant gives: of an event, a reversal, a spend or an adjustment."""
TimeZone = Annotated[str, AfterValidator(_want_zone), Field(examples=["Europe/Berlin"])]
"""The name of a time zone."""
Source = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_SOURCE_BYTES,
        description=f"The event's source. At most {MAX_SOURCE_BYTES:,} bytes in UTF-8",
        examples=["/shop/till-7"],
    ),
    _bound_bytes(MAX_SOURCE_BYTES),
]
TenantId = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$", examples=["grocer"])]
ActionId = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_.-]{0,99}$", examples=["PURCHASE"])]
CohortId = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$", examples=["households-26"])]
ListId = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,62}$", examples=["premium_skus"])]
Title = Annotated[str, Field(min_length=1, max_length=200, examples=["Grocer & Co"])]
ActionName = Annotated[str, Field(min_length=1, max_length=100, examples=["PURCHASE"])]
ObjectId = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$", examples=["spring-cashback"])]
Currency = Annotated[str, Field(pattern="^[A-Z][A-Z0-9_]{0,31}$", examples=["STARS"])]
RuleText = Annotated[str, Field(min_length=1, max_length=MAX_RULE_LENGTH, examples=['event.campaign == "26"'])]
Percent = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,3})(\.[0-9]{1,6})?$", examples=["2.5"])]
Instant = Annotated[AwareDatetime, BeforeValidator(_read_instant), AfterValidator(bound_time)]
Day = Annotated[date, BeforeValidator(_read_day)]
InstantOrDay = Annotated[AwareDatetime | date, BeforeValidator(_read_instant_or_day)]
Reason = Annotated[str, Field(min_length=1, max_length=500, examples=["goodwill"]), AfterValidator(_want_words)]
"""Why somebody did something by hand."""
Payload = Annotated[dict[str, Any], AfterValidator(_bound_payload)]
