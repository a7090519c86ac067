"""Up to where analyse has loaded events, over HTTP."""

import httpx
import msgspec

from fillip.core.errors import Retry
from fillip.http.received_offsets import PATH, ReceivedOffsets


async def read_offsets(client: httpx.AsyncClient) -> ReceivedOffsets:
    """As of now; `client` has analyse's base URL and the key as bearer. Raises Retry."""
    try:
        answer = await client.get(PATH)
        if answer.is_error:
            raise Retry(f"analyse answered {answer.status_code}")
        return msgspec.json.decode(answer.content, type=ReceivedOffsets)
    except (httpx.TransportError, msgspec.MsgspecError) as error:
        raise Retry(f"analyse does not answer ({type(error).__name__})") from error
