"""Whether the Redis of the settings would be used: it is looked at as every process looks at it."""

import secrets
from typing import Any

import structlog

from relay.shared import Shared
from server.cli.doctor_findings import Finding, good, unknown


async def look_at_redis(url: str) -> Finding:
    """Look once, with every command that is needed. Without Redis nothing stops, so it is no failure."""
    shown: list[float] = []
    said: list[Any] = []
    log = structlog.wrap_logger(None, processors=[lambda _logger, _method, event: _keep(said, event)])
    shared = Shared(url, secret=secrets.token_bytes(32), show=shown.append, log=log)
    try:
        await shared.open()
    finally:
        await shared.close()
    if shown and shown[-1]:
        return good("redis", "answers, and takes every command that is needed")
    cause = said[-1].get("said") or said[-1].get("error") if said else "no answer"
    return unknown(
        "redis",
        f"is away ({cause}): each process has limits and throttles of its own",
        "start it, or correct redis.url; nothing is lost without it",
    )


def _keep(said: list[Any], event: Any) -> Any:
    said.append(event)
    raise structlog.DropEvent
