"""Bodies of requests: bounded in size and depth, JSON read strictly, no NUL anywhere."""

import msgspec
from starlette.requests import Request

from fillip.core.json_text import explain_broken, find_excess, find_repeated, repeats_name
from fillip.core.problem import Fault, write_pointer
from fillip.http.errors import Invalid, Malformed, TooLarge, UnsupportedMedia

MAX_BODY_BYTES = 1_048_576
MAX_DEPTH = 32


class JsonRequest(Request):
    """A request whose body is at most 1 MiB, read once."""

    async def body(self) -> bytes:
        """The whole body; raises TooLarge."""
        if not hasattr(self, "_body"):
            told = self.headers.get("content-length", "")
            if told.isdecimal() and int(told) > MAX_BODY_BYTES:
                raise TooLarge(f"the body is larger than {MAX_BODY_BYTES} bytes")
            taken = bytearray()
            async for chunk in self.stream():
                taken += chunk
                if len(taken) > MAX_BODY_BYTES:
                    raise TooLarge(f"the body is larger than {MAX_BODY_BYTES} bytes")
            self._body = bytes(taken)
        return self._body

    async def json(self) -> object:
        """The body as JSON, as `read_json` left it."""
        return self._json

    async def read_json(self) -> None:
        """Take in a JSON body, if there is one; raises Malformed, TooLarge or UnsupportedMedia."""
        body = await self.body()
        if not body:
            return
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            raise UnsupportedMedia("send the body as Content-Type: application/json")
        self._json = decode_json(body)

    async def refuse_body(self) -> None:
        """Raise Invalid for a body that nobody reads, at each of its fields."""
        body = await self.body()
        if not body:
            return
        try:
            fields = list(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            fields = []
        faults = [Fault(write_pointer([field]), "unknown field: this operation takes no body") for field in fields]
        raise Invalid("this operation takes no body, send none", at="", faults=faults)


def decode_json(body: bytes) -> object:
    """The JSON value of `body`; raises Malformed for bad JSON, a NUL, or more than 32 levels, Invalid for a name twice."""
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise explain_malformed(body, error) from None
    except RecursionError:
        raise Malformed(f"the body is nested deeper than {MAX_DEPTH} levels") from None
    match find_excess(value, MAX_DEPTH):
        case "too_deep":
            raise Malformed(f"the body is nested deeper than {MAX_DEPTH} levels")
        case "nul_character":
            raise Malformed("the body holds a NUL character (\\u0000)")
    if repeats_name(body, value):
        repeated = find_repeated(body)
        raise Invalid(repeated.message, faults=[repeated])
    return value


def explain_malformed(body: bytes, error: Exception) -> Malformed:
    """The refusal of a body that a decoder of JSON did not take."""
    fault = explain_broken(body, error)
    return Malformed(f"the body is not JSON: {fault.message}", faults=[fault])
