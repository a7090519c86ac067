"""What the operator does on the command line: tenants and their keys."""

import asyncio
from collections.abc import Sequence
from typing import get_args

from pydantic import ValidationError

from fillip.core.errors import Refused
from fillip.manage import operator
from fillip.manage.api.keys import NewKey, Scope
from fillip.manage.api.quotas import QuotasAnswer, QuotasPart
from fillip.manage.api.tenants import NewTenant


def create_tenant(dsn: str, **fields: str) -> str:
    """Create a tenant from the fields of NewTenant, and its first key, which has all scopes; the key.

    Raises Refused naming the field that is wrong, or Retry.
    """
    try:
        tenant = NewTenant.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(f"{first['loc'][0]}: {first['msg']}") from None
    _, issued = asyncio.run(operator.create_tenant(dsn, tenant, _all_scopes("first")))
    return issued.key or ""


def set_quotas(dsn: str, tenant_id: str, changes: Sequence[str]) -> QuotasAnswer:
    """Change quotas as `name=number` or `name=default` say, and read all. Raises Refused naming what is wrong, or Retry."""
    given: dict[str, object] = {}
    for change in changes:
        name, _, value = change.partition("=")
        given[name] = None if value == "default" else int(value) if value.isdecimal() else value
    try:
        part = QuotasPart.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(f"{'/'.join(map(str, first['loc']))}: {first['msg']}") from None
    return asyncio.run(operator.set_quotas(dsn, tenant_id, part))


def create_key(dsn: str, tenant_id: str, name: str) -> str:
    """One more key with all scopes. Raises NotFound, Refused or Retry."""
    return asyncio.run(operator.create_key(dsn, tenant_id, _all_scopes(name))).key or ""


def _all_scopes(name: str) -> NewKey:
    return NewKey(name=name, scopes=list(get_args(Scope)), expires_at=None)
