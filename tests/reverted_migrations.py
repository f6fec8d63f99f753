"""The way back through the migrations, which the program itself never takes."""

from __future__ import annotations

from alembic import command

from aerotile.adapters.postgres.migrate import _migrating


def revert_migrations(dsn: str, revision: str) -> tuple[str, ...]:
    """Downgrade to `revision` ("base" for none), every row kept; returns the revisions undone, in order.

    Raises `TileCacheError`, with nothing changed, when a step would lose what can't be derived again.
    """
    with _migrating(dsn) as run:
        run.revision()
        try:
            command.downgrade(run.config, revision)
            run.connection.commit()
        except BaseException:
            run.connection.rollback()
            raise
        return tuple(run.steps)
