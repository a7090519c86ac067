"""Leaderboards as stored."""

from typing import Any

from sqlalchemy import Row

from fillip.core.leaderboard import Leaderboard
from fillip.manage.object.postgres import Objects
from fillip.manage.store.tables.book import leaderboard

leaderboards = Objects(leaderboard, "leaderboard_id", "there is no leaderboard {}")


def read_board(row: Row[Any]) -> Leaderboard:
    """The definition in a row."""
    return Leaderboard(row.leaderboard_id, row.measure, row.span, row.currency, row.campaign_id, row.week_starts_on)
