"""How large batches are: a size that works is remembered, and raised with care."""

PATIENCE, MOST_PATIENCE = 10, 160
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Of the records of a batch. Decoded, a hostile one takes thirty times as much, and two batches are on their way at once."""


class Size:
    """`now` is how many records a batch may have.

    After a failure it is what worked; it grows by a quarter after PATIENCE batches of that size, and each further failure
    doubles how many it takes. So work that is too much for the server costs a few failures, not every second batch.
    """

    def __init__(self, largest: int) -> None:
        """`largest`: where it begins, and the most it ever is."""
        self.now = self._largest = largest
        self._patience = PATIENCE // 2
        self._good = 0

    def fail(self, worked: int) -> None:
        """A batch was too large; parts of `worked` records were not."""
        self.now = max(1, min(worked, self.now))
        self._patience = min(2 * self._patience, MOST_PATIENCE)
        self._good = 0

    def commit(self, count: int) -> None:
        """A batch of `count` records was committed."""
        if count < self.now or self.now == self._largest:
            return  # says nothing of this size; or there is none beyond it
        self._good += 1
        if self._good >= self._patience:
            self.now = min(self._largest, self.now + max(1, self.now // 4))
            self._good = 0
            if self.now == self._largest:
                self._patience = PATIENCE // 2
