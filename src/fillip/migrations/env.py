"""Alembic's entry: one connection, one transaction for all revisions."""

import psycopg
from alembic import context
from sqlalchemy import create_engine, pool

dsn: str = context.config.attributes["dsn"]
engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
