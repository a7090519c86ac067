"""Statements that other rooms share, run by the control plane below SQLAlchemy."""

import pytest
from sqlalchemy.exc import DBAPIError

from fillip.manage.store.driver_postgres import DriverConnection
from fillip.manage.store.postgres import enter_tenant, find_state
from tests.manage.conftest import Plane


async def test_a_shared_statement_runs_in_the_transaction_of_its_request_with_the_errors_of_all_others(plane: Plane):
    async with plane.engine.connect() as connection:
        await enter_tenant(connection, "acme")
        driver = DriverConnection(connection)
        [row] = await driver.fetch("SELECT current_setting('app.tenant') AS tenant, $1::text[] AS items", ["a", "b"])
        assert (row["tenant"], row["items"]) == ("acme", ["a", "b"])
        assert not await driver.fetch("SET LOCAL lock_timeout = 1")
        with pytest.raises(DBAPIError) as refused:
            await driver.fetch("SELECT 1 / $1::int", 0)
        assert find_state(refused.value) == "22012"
