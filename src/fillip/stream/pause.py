"""A pause that grows while something goes wrong."""

import asyncio


class Pause:
    """Waits longer after each failure in a row: twice as long each time, at most `longest_s`."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self.next_s = first_s

    def reset(self) -> None:
        """Something went well."""
        self.next_s = self._first_s

    async def take(self) -> None:
        """Wait."""
        await asyncio.sleep(self.next_s)
        self.next_s = min(2 * self.next_s, self._longest_s)
