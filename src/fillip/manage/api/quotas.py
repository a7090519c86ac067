"""Quotas of tenants: set by the operator, seen by the tenant."""

from typing import Annotated

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from fillip.core.quota import Quotas
from fillip.http.fields import Part, TenantId, give_examples
from fillip.manage.campaign.postgres import count_campaigns, count_steps
from fillip.manage.cohort.members_postgres import count_listed
from fillip.manage.cohort.postgres import cohorts
from fillip.manage.named_list.postgres import lists
from fillip.manage.request.route import Operator, Reading, Route
from fillip.manage.store.postgres import Connection, transaction
from fillip.manage.tenant import postgres

router = APIRouter(tags=["tenants"], route_class=Route)
Many = Annotated[int | None, Field(ge=0, le=2**53, strict=True)]
Rate = Annotated[int | None, Field(ge=1, le=1_000_000, strict=True)]


class QuotasPart(Part):
    """The quotas to change; null puts one back to its default, those left out stay."""

    model_config = give_examples({"events_per_s": 500, "sockets": None})

    events_per_s: Rate = Field(None, description="Through POST /v1/events; ten times as many may come at once")
    requests_per_s: Rate = Field(None, description="All other requests; ten times as many may come at once")
    sockets: Many = Field(None, description="Streams open at a time at each gateway")
    campaigns: Annotated[int | None, Field(ge=0, le=10_000, strict=True)] = Field(None, description="Not archived")
    rule_steps: Annotated[int | None, Field(ge=0, le=20_000_000, strict=True)] = Field(
        None, description="That one event may take at most in all expressions of the campaigns that it may meet"
    )
    cohorts: Annotated[int | None, Field(ge=0, le=1_000, strict=True)] = None
    cohort_size: Annotated[int | None, Field(ge=0, le=100_000_000, strict=True)] = Field(
        None, description="Users of one cohort"
    )
    listed_users: Annotated[int | None, Field(ge=0, le=200_000_000, strict=True)] = Field(
        None, description="Users that cohorts have ever named"
    )
    lists: Annotated[int | None, Field(ge=0, le=100, strict=True)] = None
    list_size: Annotated[int | None, Field(ge=0, le=10_000, strict=True)] = Field(None, description="Items of one list")
    coupon_codes: Many = Field(None, description="In all pools, with those that are ordered")
    stored_bytes: Many = Field(
        None, description="JSON of users' attributes, and of the book's objects in all their versions"
    )


class QuotaAnswer(BaseModel):
    """One quota; `used` where it is counted in the database."""

    quota: int
    default: int
    used: int | None


class QuotasAnswer(BaseModel):
    """All quotas of a tenant, by name."""

    tenant_id: TenantId
    quotas: dict[str, QuotaAnswer] = Field(examples=[{"campaigns": {"quota": 10_000, "default": 10_000, "used": 12}}])


@router.get("/tenant/quotas")
async def read_own_quotas(work: Reading) -> QuotasAnswer:
    """What the tenant may take, and what it has taken."""
    return await describe_quotas(work.connection, work.caller.tenant_id)


@router.get("/tenants/{tenant_id}/quotas")
async def read_quotas(tenant_id: TenantId, owner: Operator) -> QuotasAnswer:
    """What a tenant may take, and what it has taken (operator)."""
    async with transaction(owner) as connection:
        await postgres.find_tenant(connection, tenant_id)
        return await describe_quotas(connection, tenant_id)


@router.patch("/tenants/{tenant_id}/quotas")
async def change_quotas(tenant_id: TenantId, part: QuotasPart, owner: Operator) -> QuotasAnswer:
    """Change a tenant's quotas (operator); in force everywhere within 5 seconds. What is above one already stays."""
    async with transaction(owner) as connection:
        return await set_quotas(connection, tenant_id, part)


async def set_quotas(connection: Connection, tenant_id: str, part: QuotasPart) -> QuotasAnswer:
    """Change the quotas that are given, with the owner's rights; raises NotFound."""
    await postgres.find_tenant(connection, tenant_id)
    await postgres.change_quotas(connection, tenant_id, part.model_dump(exclude_unset=True))
    return await describe_quotas(connection, tenant_id)


async def describe_quotas(connection: Connection, tenant_id: str) -> QuotasAnswer:
    """The quotas with their defaults, and what is used of those that are counted."""
    quotas, defaults = msgspec.convert(await postgres.read_quotas(connection, tenant_id), Quotas), Quotas()
    used = {
        "campaigns": await count_campaigns(connection, tenant_id),
        "cohorts": await cohorts.count(connection, tenant_id),
        "listed_users": await count_listed(connection, tenant_id),
        "lists": await lists.count(connection, tenant_id),
        "rule_steps": await count_steps(connection, tenant_id),
        **await postgres.read_usage(connection, tenant_id),
    }
    answers = {
        name: QuotaAnswer(quota=getattr(quotas, name), default=getattr(defaults, name), used=used.get(name))
        for name in Quotas.__struct_fields__
    }
    return QuotasAnswer(tenant_id=tenant_id, quotas=answers)
