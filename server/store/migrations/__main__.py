"""Write a new revision: the difference between the newest one and `server/store/schema`."""

import sys
import tempfile

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from server.store.migrations.upgrade import alembic_config, upgrade


def main(message: str) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        create_engine(f"sqlite:///{folder}/empty.db").begin() as connection,
    ):
        upgrade(connection)
        config = alembic_config(connection)
        number = 1 + len(list(ScriptDirectory.from_config(config).walk_revisions()))
        command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
