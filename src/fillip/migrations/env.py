"""Alembic's entry: one connection, one transaction for all revisions, and one such on a server at a time."""

import psycopg
from alembic import context
from sqlalchemy import create_engine, pool

from fillip.migrations import read_statement

dsn: str = context.config.attributes["dsn"]
engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=pool.NullPool)
with engine.begin() as connection:
    connection.exec_driver_sql(read_statement("have_lock"))
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        connection.exec_driver_sql(read_statement("take_lock"))
        context.run_migrations()
