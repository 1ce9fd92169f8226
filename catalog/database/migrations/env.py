"""Run by Alembic, on the connection and in the transaction that catalog.database.engine gives it."""

from alembic import context

from catalog.database.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
