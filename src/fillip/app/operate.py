"""What the operator does on the command line: tenants and their keys."""

import asyncio
from typing import get_args

from pydantic import ValidationError

from fillip.core.errors import Refused
from fillip.manage import operator
from fillip.manage.keys import NewKey, Scope
from fillip.manage.tenants import NewTenant


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


def create_key(dsn: str, tenant_id: str, name: str) -> str:
    """One more key with all scopes. Raises NotFound, Refused or Retry."""
    return asyncio.run(operator.create_key(dsn, tenant_id, _all_scopes(name))).key or ""


def _all_scopes(name: str) -> NewKey:
    return NewKey(name=name, scopes=list(get_args(Scope)), expires_at=None)
