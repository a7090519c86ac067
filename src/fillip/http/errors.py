"""What the doors refuse, each with its HTTP status and the stable kind of its problem."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from fillip.core.errors import Refused
from fillip.core.problem import Fault
from fillip.core.quota import (
    WRONG_CODES_PER_S,
    QuotaName,
    RateAnswer,
    RateName,
    describe_rate,
    describe_stock,
    explain_rate,
)


class HttpRefused(Refused):
    """A refusal with an HTTP status; `faults` name each thing that is wrong and where."""

    status = 422
    kind = "invalid"

    def __init__(self, message: str, *, at: str | None = None, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message, at=at)
        self.faults = tuple(faults) or ((Fault(at, message),) if at is not None else ())
        self.headers: Mapping[str, str] = {}


class Invalid(HttpRefused):
    """422: well-formed, but not acceptable."""


class Malformed(HttpRefused):
    """400: not JSON, or bytes that no text may hold."""

    status = 400
    kind = "malformed"


class Unauthorized(HttpRefused):
    """401: no credential, or not a live one."""

    status = 401
    kind = "unauthorized"


class Forbidden(HttpRefused):
    """403: the credential does not allow this."""

    status = 403
    kind = "forbidden"


class NotFound(HttpRefused):
    """404: no such object in the caller's tenant."""

    status = 404
    kind = "not-found"


class Conflict(HttpRefused):
    """409: the object's state does not allow this."""

    status = 409
    kind = "conflict"


class Stale(HttpRefused):
    """412: the object has changed since the caller read it."""

    status = 412
    kind = "stale"


class TooSlow(HttpRefused):
    """408: a request that did not come whole in time."""

    status = 408
    kind = "too-slow"


class TooLarge(HttpRefused):
    """413: a body beyond its bound."""

    status = 413
    kind = "too-large"


class UnsupportedMedia(HttpRefused):
    """415: a body of another type than the operation takes."""

    status = 415
    kind = "unsupported-media-type"


class QuotaExceeded(HttpRefused):
    """429: the tenant has all that the operator allows; nothing was stored."""

    status = 429
    kind = "quota-exceeded"

    def __init__(self, name: QuotaName, quota: int, used: int, more: int) -> None:
        what = name.replace("_", " ")
        super().__init__(
            f"the quota of {what} is {quota:,}; {used:,} are used, and {more:,} more were asked for: nothing was stored."
            f" Remove what is not needed, or ask the operator to raise {name}",
            at=name,
        )
        self.headers = describe_stock(name, quota, quota - used)


class TooFast(HttpRefused):
    """429: more events or requests than the tenant's rate allows; of this request nothing was taken."""

    status = 429
    kind = "quota-exceeded"

    def __init__(self, name: RateName, per_s: int, count: int, taking: RateAnswer) -> None:
        super().__init__(explain_rate(name, per_s, count), at=name)
        self.headers = describe_rate(name, per_s, taking)


class Guessing(HttpRefused):
    """429: a user who has entered too many codes that are nobody's."""

    status = 429
    kind = "too-many-wrong-codes"

    def __init__(self, user_id: str, taking: RateAnswer) -> None:
        super().__init__(
            f"{user_id} has entered too many codes that do not exist: wait as Retry-After says", at="/code"
        )
        self.headers = describe_rate("wrong_codes_per_s", WRONG_CODES_PER_S, taking)


class RevisionMissing(HttpRefused):
    """428: a change of an existing object without If-Match."""

    status = 428
    kind = "if-match-required"


class DefinitionRefused(Invalid):
    """A campaign or limit that means nothing or can't be; `faults` names every place (JSON pointer) at once."""

    kind = "definition-refused"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(f"{faults[0].at}: {faults[0].message}", at=faults[0].at, faults=faults)


def refuse(faults: Sequence[Fault]) -> None:
    """Raise DefinitionRefused where there are any faults."""
    if faults:
        raise DefinitionRefused(faults)


@contextmanager
def standing_at(place: str) -> Iterator[None]:
    """Say where a definition that is checked within stands in the body: what is refused of it then has places in the body."""
    try:
        yield
    except DefinitionRefused as refused:
        raise DefinitionRefused([Fault(place + fault.at, fault.message) for fault in refused.faults]) from None
