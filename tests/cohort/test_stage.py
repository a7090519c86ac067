"""Which records of the log are counted for cohorts by events."""

from fillip.app.cohort import peek_tenant
from fillip.cohort import OfTenants
from fillip.stream.belt import Record


async def test_only_records_of_tenants_that_have_rules_are_decoded() -> None:
    """Given rules of one tenant, then what others send, or nobody can read, is passed over, and without any rule all is."""
    values = [
        b'{"tenantid": "acme", "id": 1',
        b'{"tenantid": "acme", "id": "1"}',
        b'{"tenantid": "rival"}',
        b"{}",
        b"",
        None,
    ]
    records = [Record("event.received", 0, offset, value, None, 0) for offset, value in enumerate(values)]
    tenants = ["acme"]

    async def list_tenants() -> list[str]:
        return tenants

    pick = OfTenants(list_tenants, peek_tenant)
    assert [record.offset for record in await pick(records)] == [1]
    tenants.clear()
    assert list(await pick(records)) == []
