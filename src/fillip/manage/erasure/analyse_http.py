"""Reports over HTTP: their rows lie with analyse, which opens to the installation's own key."""

import httpx

from fillip.http.erasure_order import PATH, ErasureOrder, ErasureOutcome
from fillip.manage.analyse_http import ask_for


class AnalyseErasures:
    """See fillip.manage.erasure.run.Reports. `client` has analyse's base URL and the key as bearer; it stays the caller's."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def erase(self, order: ErasureOrder) -> ErasureOutcome:
        """Erase a user, as far as is possible now; safe to repeat. Raises Retry."""
        return await ask_for(self._client, PATH, ErasureOutcome, order)
