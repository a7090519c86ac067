"""Alembic's entry: one connection, one transaction for all revisions."""

from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(
    context.config.attributes["dsn"].replace("postgresql://", "postgresql+psycopg://", 1), poolclass=pool.NullPool
)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
