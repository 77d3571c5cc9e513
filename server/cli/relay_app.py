"""Where a relay gets its real clock and randomness, and its figures."""

import secrets
import time

from aiohttp import web

from relay.app import DRAIN, build_relay
from relay.config import RelayConfig
from server.cli.figures import Figures
from server.cli.running import DRAINING


def relay_app(config: RelayConfig, figures: Figures) -> web.Application:
    app = build_relay(
        config,
        clock=time.time,
        random=secrets.token_bytes,
        counted=figures.counted,
        shown=figures.shown,
    )
    app[DRAINING] = app[DRAIN]
    return app
