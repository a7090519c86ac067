"""Parameters of pages by which rows are chosen."""

from typing import Annotated

from fastapi import Query

IdFilter = Annotated[str | None, Query(max_length=256)]
"""A filter by an id."""

SourceFilter = Annotated[str | None, Query(max_length=1024, description="Of the event; narrows an `event_id`")]
"""A filter by a source, beside one by an id."""
