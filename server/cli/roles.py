"""What a server process does: answer requests, work off what was accepted, or both."""

from enum import StrEnum

from server.cli.terminal import USAGE, CommandError
from server.config import Settings, database_url
from server.store.sqlite_file import SCHEME as SQLITE


class Role(StrEnum):
    """`api` answers HTTP and delivers nothing, `worker` delivers and answers its operator only, `all` does both."""

    API = "api"
    WORKER = "worker"
    ALL = "all"


def refuse_to_share_a_file(settings: Settings, role: Role, processes: int) -> None:
    """Several processes need a database that is there for several."""
    if not database_url(settings).startswith(SQLITE):
        return
    wanted = [f"--role {role}"] if role is not Role.ALL else []
    wanted += [f"--workers {processes}"] if processes > 1 else []
    if wanted:
        raise CommandError(
            f"{' '.join(wanted)}: a SQLite file belongs to one process that does everything;"
            f' set database.url = "postgresql://user:password@host/name", or leave {" and ".join(wanted)} out',
            code=USAGE,
        )
