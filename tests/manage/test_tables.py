"""The control plane's tables are those of the migrations, and both know the same kinds of rewards."""

import pkgutil
import re
from importlib import import_module

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from fillip.core.campaign.reward_kind import KINDS
from fillip.manage.store import tables
from fillip.manage.store.tables.kinds import metadata


def test_tables_do_not_drift_from_the_migrations(database: str) -> None:
    for module in pkgutil.iter_modules(tables.__path__, f"{tables.__name__}."):
        import_module(module.name)
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))

    def is_compared(_: object, name: str | None, kind: str, reflected: bool, __: object) -> bool:
        return kind == "column" or (kind == "table" and name in metadata.tables)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_compared, "compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_tables_name_the_kinds_of_rewards_that_there_are(database: str) -> None:
    asked = {
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'incentive_kind_check'": list(KINDS),
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'spending_limit'::regclass AND "
        "pg_get_constraintdef(oid) LIKE '%currency IS NULL%'": [k for k, each in KINDS.items() if each.list_currencies],
        "SELECT indexdef FROM pg_indexes WHERE tablename = 'incentive' AND indexdef LIKE '%kind <> %'": [
            kind for kind, traits in KINDS.items() if traits.wallet
        ],
    }
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        for query, kinds in asked.items():
            named = re.findall(r"'(\w+)'", connection.execute(text(query)).scalar_one())
            assert [word for word in named if word not in ("granted", "value")] == kinds
    engine.dispose()
