"""What the tests of the reference model stand on."""

from collections.abc import Iterator

import pytest

from tests.conftest import NewDatabase
from tests.oracle.machine import Site, two_grants_an_event


@pytest.fixture(scope="module")
def oracle_site(new_database: NewDatabase) -> Iterator[Site]:
    """A database of this module's own with the control plane in front of it, where an event can have two grants."""
    with new_database() as dsn, two_grants_an_event():
        made = Site(dsn)
        yield made
        made.close()
