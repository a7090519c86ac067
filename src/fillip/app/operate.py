"""What the operator does on the command line: tenants and their keys."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError

from fillip.core.errors import Refused
from fillip.manage import operator
from fillip.manage.api.keys import IssuedKey, NewKey, Scope
from fillip.manage.api.quotas import QuotasAnswer, QuotasPart
from fillip.manage.api.tenants import NewTenant, TenantState

ALL_SCOPES = get_args(Scope)
Read = TypeVar("Read", bound=BaseModel)


def create_tenant(dsn: str, **fields: str) -> tuple[TenantState, IssuedKey]:
    """Create a tenant from the fields of NewTenant, and its first key, which has all scopes.

    Raises Refused naming the field that is wrong, or Retry.
    """
    tenant = _read(NewTenant, fields)
    first = _read(NewKey, {"name": "first", "scopes": list(ALL_SCOPES)})
    return asyncio.run(operator.create_tenant(dsn, tenant, first))


def read_changes(changes: Sequence[str]) -> QuotasPart:
    """Changes of quotas from texts as `name=number` or `name=default`. Raises Refused naming what is wrong."""
    given: dict[str, object] = {}
    for change in changes:
        name, _, value = change.partition("=")
        given[name] = None if value == "default" else int(value) if value.isdecimal() else value
    return _read(QuotasPart, given)


def set_quotas(dsn: str, tenant_id: str, changes: Sequence[str]) -> QuotasAnswer:
    """Change quotas, and read all. Raises Refused as `read_changes`, NotFound or Retry."""
    return asyncio.run(operator.set_quotas(dsn, tenant_id, read_changes(changes)))


def create_key(dsn: str, tenant_id: str, name: str, scopes: Sequence[str] = ()) -> IssuedKey:
    """One more key, with all scopes where none is named. Raises NotFound, Refused or Retry."""
    new = _read(NewKey, {"name": name, "scopes": list(scopes or ALL_SCOPES)})
    return asyncio.run(operator.create_key(dsn, tenant_id, new))


def _read(kind: type[Read], given: Mapping[str, object]) -> Read:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(f"{'/'.join(map(str, first['loc']))}: {first['msg']}") from None
