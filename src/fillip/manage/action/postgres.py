"""Actions as stored."""

from fillip.manage.object.postgres import Objects
from fillip.manage.store.tables.book import action

actions = Objects(action, "name", "there is no action {}")
