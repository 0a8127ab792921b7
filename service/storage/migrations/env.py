"""Alembic's entry: runs the migrations on the connection that `Database.migrate` hands in."""

from alembic import context

from clpips.service.storage.tables import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    render_as_batch=True,  # SQLite cannot alter a table: it is copied
)
context.run_migrations()
