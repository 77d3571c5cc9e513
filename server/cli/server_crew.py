"""Several processes of a server behind one socket.

The supervisor binds the socket and brings the tables up to date, once, and each process has its part of the machine.
"""

import os

import msgspec
import structlog
from msgspec.structs import replace

from server.cli.files import load_settings, read_server_keys
from server.cli.listening import bind
from server.cli.logs import log_to_stderr
from server.cli.orders import Orders
from server.cli.roles import Role, refuse_to_share_a_file
from server.cli.supervisor import Program, supervise
from server.cli.tables import migrated
from server.config import Settings


def serve(config: str | None, role: Role, processes: int) -> None:
    settings = load_settings(config).settings
    refuse_to_share_a_file(settings, role, processes)
    log_to_stderr(settings.log)
    read_server_keys(settings)  # what is wrong with them is said once, and not by each
    listener = bind(settings.server.listen, "server.listen")
    migrated(settings)
    shared_out = _shared_out(settings, processes)

    def orders(number: int) -> bytes:
        descriptor, host = listener.socket.fileno(), listener.host
        return msgspec.json.encode(
            Orders(settings=shared_out, role=role, number=number, socket=descriptor, host=host)
        )

    program = Program("server", "server.cli.child", orders, shown={"role": role.value})
    supervise(program, listener, processes, structlog.get_logger("server"))


def _shared_out(settings: Settings, processes: int) -> Settings:
    sealing = settings.worker.seal_processes or max(1, (os.cpu_count() or 1) // processes)
    return replace(settings, worker=replace(settings.worker, seal_processes=sealing))
