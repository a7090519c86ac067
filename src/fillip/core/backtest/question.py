"""What a backtest is asked."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

Definitions = Literal["current", "recorded"]
"""Those of now, with the version asked for; or those that were in force for each event."""


class BacktestQuestion(Struct, frozen=True):
    """What a version of a campaign would have granted for events that happened from `first` until before `until`; where
    `definitions` are recorded, what those versions grant that were in force.
    """

    tenant_id: str
    campaign_id: str
    version: int
    first: datetime
    until: datetime
    definitions: Definitions = "current"
