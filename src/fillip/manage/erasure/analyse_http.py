"""Reports over HTTP: their rows lie with analyse, which opens to the installation's own key."""

import httpx
import msgspec

from fillip.core.errors import Retry
from fillip.http.erasure_order import PATH, ErasureOrder, ErasureOutcome


class AnalyseErasures:
    """See fillip.manage.erasure.run.Reports. `client` has analyse's base URL and the key as bearer; it stays the caller's."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def erase(self, order: ErasureOrder) -> ErasureOutcome:
        """Erase a user, as far as is possible now; safe to repeat. Raises Retry."""
        headers = {"Content-Type": "application/json"}
        try:
            answer = await self._client.post(PATH, content=msgspec.json.encode(order), headers=headers)
            if answer.is_error:
                raise Retry(f"analyse answered {answer.status_code}")
            return msgspec.json.decode(answer.content, type=ErasureOutcome)
        except (httpx.TransportError, msgspec.MsgspecError) as error:
            raise Retry(f"analyse does not answer ({type(error).__name__})") from error
