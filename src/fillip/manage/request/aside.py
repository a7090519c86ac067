"""Checking and explaining beside the event loop, so that one tenant's definitions make nobody wait.

What is computed is bounded by what saving accepts (fillip.core.rule.cost, fillip.core.schema.cost), but it is Python for
the most part: it takes turns with the loop, which asks for the interpreter within half a millisecond.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from fillip.core.errors import Retry

MAX_WAITING = 8
"""Computations of one tenant that wait, beside the one that runs; more are refused."""

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Aside:
    """A thread for all tenants: two would only take turns with each other too. A tenant has one computation at a time that
    runs or is next, so tenants take turns whatever one of them asks for.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._turns: dict[str, asyncio.Lock] = {}
        self._present: Counter[str] = Counter()

    async def run(
        self, tenant_id: str, function: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """What the function returns or raises. Raises Retry where too many of the tenant's wait already."""
        if self._present[tenant_id] > MAX_WAITING:
            raise Retry(f"{MAX_WAITING} of your definitions wait to be checked or explained: send the next one later")
        self._present[tenant_id] += 1
        turn = self._turns.setdefault(tenant_id, asyncio.Lock())
        try:
            async with turn:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._thread, lambda: function(*given, **named))
        finally:
            self._present[tenant_id] -= 1
            if not self._present[tenant_id]:
                del self._present[tenant_id], self._turns[tenant_id]
