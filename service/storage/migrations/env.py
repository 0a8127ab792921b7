"""Alembic's entry: runs the migrations on the connection that `Database.migrate` hands in."""

from advanced_alchemy.base import DefaultBase
from alembic import context

from clpips.service.storage import tables  # noqa: F401 - it fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=DefaultBase.metadata,
    render_as_batch=True,  # SQLite cannot alter a table: it is copied
)
context.run_migrations()
