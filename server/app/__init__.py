"""The composition of the server: the only place where its pieces are built and joined.

`build_server` takes the settings and the pieces that somebody else opened (database, keys, clock, randomness, the workers)
and returns an application that is not frozen yet, so that the relay can be mounted below it (`mounting.py`).
`build_worker` makes the one of a process that only works: it answers nobody but its operator. What the application starts
it also stops.
"""

from server.app.build import build_server, build_worker
from server.app.pieces import ServerPieces, Worker

__all__ = ["ServerPieces", "Worker", "build_server", "build_worker"]
