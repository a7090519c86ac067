"""Step 7, topics → facts: the Analytics Bay loads what was decided, and answers reports over it."""

from fillip.analyse.day_files.filing import keep_filing
from fillip.analyse.http import build_app
from fillip.analyse.loader import OpenTail, keep_loading
from fillip.analyse.query.queries import Queries
from fillip.analyse.report import Bay

__all__ = ["Bay", "OpenTail", "Queries", "build_app", "keep_filing", "keep_loading"]
