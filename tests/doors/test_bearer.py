"""The key of a request, and what its caller may do."""

from uuid import UUID

import pytest
from starlette.datastructures import Headers

from fillip.core.ports import Caller
from fillip.http.bearer import check_scope, read_bearer
from fillip.http.errors import Forbidden, Unauthorized


@pytest.mark.parametrize("sent", ["Bearer fk_live_a", "bearer  fk_live_a ", "BEARER fk_live_a"])
def test_the_key_is_what_follows_the_scheme(sent: str) -> None:
    assert read_bearer(Headers({"Authorization": sent})) == "fk_live_a"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic fk_live_a"}, {"Authorization": "Bearer "}])
def test_a_request_without_a_key_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        read_bearer(Headers(headers))


def test_a_scope_that_the_key_lacks_is_named() -> None:
    caller = Caller(UUID(int=1), "acme", frozenset({"reports:read"}))
    check_scope(caller, "reports:read")
    with pytest.raises(Forbidden, match="events:write"):
        check_scope(caller, "events:write")
