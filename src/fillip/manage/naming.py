"""The texts that name things in addresses and bodies, with their bounds."""

from typing import Annotated

from pydantic import Field

TenantId = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$", examples=["grocer"])]
ActionId = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_.-]{0,99}$", examples=["PURCHASE"])]
CohortId = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$", examples=["households-26"])]
ListId = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,62}$", examples=["premium_skus"])]
UserId = Annotated[str, Field(min_length=1, max_length=256, examples=["ada"])]
Title = Annotated[str, Field(min_length=1, max_length=200, examples=["Grocer & Co"])]
