"""Currencies of points as stored."""

from fillip.manage.object.postgres import Objects
from fillip.manage.store.tables.book import points_currency

currencies = Objects(points_currency, "currency", "there is no definition of the currency {}")
