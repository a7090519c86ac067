"""What the control plane refuses, each with its HTTP status and the stable kind of its problem."""

from collections.abc import Sequence

from fillip.core.errors import Refused
from fillip.core.problem import Fault


class HttpRefused(Refused):
    """A refusal with an HTTP status; `faults` name each thing that is wrong and where."""

    status = 422
    kind = "invalid"

    def __init__(self, message: str, *, at: str | None = None, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message, at=at)
        self.faults = tuple(faults) or ((Fault(at, message),) if at is not None else ())


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


class TooLarge(HttpRefused):
    """413: a body beyond its bound."""

    status = 413
    kind = "too-large"


class UnsupportedMedia(HttpRefused):
    """415: a body of another type than the operation takes."""

    status = 415
    kind = "unsupported-media-type"


class RevisionMissing(HttpRefused):
    """428: a change of an existing object without If-Match."""

    status = 428
    kind = "if-match-required"
