"""What Alembic runs around the revisions: one transaction over all of them, on the runner's connection.

`aerotile.adapters.postgres.migrate` hands over the open connection that holds the advisory lock, and a
callback for each step. Logging is left as the program has set it up.
"""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    on_version_apply=context.config.attributes["on_version_apply"],
)
with context.begin_transaction():
    context.run_migrations()
