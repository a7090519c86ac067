"""What a backtest is asked."""

from datetime import datetime

from msgspec import Struct


class BacktestQuestion(Struct, frozen=True):
    """What a version of a campaign would have granted for events that happened from `first` until before `until`."""

    tenant_id: str
    campaign_id: str
    version: int
    first: datetime
    until: datetime
