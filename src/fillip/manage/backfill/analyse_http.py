"""Up to where analyse has loaded events, over HTTP."""

import httpx

from fillip.http.received_offsets import PATH, ReceivedOffsets
from fillip.manage.analyse_http import ask_for


async def read_offsets(client: httpx.AsyncClient) -> ReceivedOffsets:
    """As of now; `client` has analyse's base URL and the key as bearer. Raises Retry."""
    return await ask_for(client, PATH, ReceivedOffsets)
