"""How the use of a limit is answered, of a decision and in an explanation."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, Field, model_validator

from fillip.core.limit import has_start


class UseAnswer(BaseModel):
    """A limit as it stood under the lock: it fits when `used_before + amount <= cap`; `version` counts its changes.

    In rolling windows `used_before` is the most in any that holds the event, and `window_start` is null, as for lifetime.
    """

    limit_id: str
    key: str
    window_start: date | None
    version: int
    used_before: int
    amount: int
    cap: int
    wanted: int | None = Field(None, description="Set where `amount` is less than that: the limit gave what was left")
    time_zone: str | None = Field(
        None, description="The user's own, where the window went by that; else it was the tenant's"
    )
    resets_at: datetime | None = Field(
        None,
        description="When its window is over, of a rolling one when the first of what is used counts no more; null for lifetime, and of"
        " decisions from before this was recorded",
    )

    @model_validator(mode="before")
    @classmethod
    def _tell_start(cls, use: Any) -> Any:  # noqa: ANN401
        """Of a use as it is stored; what is an answer already stays."""
        if not isinstance(use, dict) or has_start(str(use["window_start"]), use.get("part"), use.get("resets_at")):
            return use
        return use | {"window_start": None}
