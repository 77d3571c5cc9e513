"""`hushpost doctor`: looks at everything that must be in order for a message to arrive, and says what is not, and what to do.

It changes nothing but for the one test message that it sends, and needs no running server: what cannot be known without
one is said to be unknown.
"""

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from crypto.encoding import b64u
from crypto.keys import IdentityKey
from server.cli.configfile import ConfigFaults, Loaded
from server.cli.doctor_findings import Finding, Findings, Verdict, bad, good, unknown
from server.cli.files import load_settings, relay_key_path, server_key_path
from server.cli.keyfiles import MAKE_RELAY, KeyFileError, read_identity, read_keys_of
from server.cli.processes import DataOption, ListenOption
from server.cli.terminal import FAILED, ConfigOption, JsonOption, result, result_json
from server.config import Settings, listen_address, trusted_relay_keys

if TYPE_CHECKING:
    from aiohttp import ClientSession

DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="ID|NAME", help="Where the test push goes to; else to one of yours."),
]


def doctor(
    config: ConfigOption = None,
    data: DataOption = None,
    listen: ListenOption = None,
    device: DeviceOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check settings, keys, clock, database, relay, providers, server, and push a test: what is wrong, and what to do.

    Give it the options of the `hushpost server` or `hushpost up` that it is to look at. Fails if anything is wrong (✗);
    what could not be checked (!) is no failure.
    """
    import asyncio  # noqa: PLC0415 - as aiohttp and what looks: `hushpost --help` should not wait for it

    found: list[Finding] = []

    def take(finding: Finding) -> None:
        found.append(finding)
        if not as_json:
            _show(finding)

    asyncio.run(_look(config, data, listen, device, take))
    if as_json:
        result_json([asdict(finding) for finding in found])
    if any(finding.verdict is Verdict.BAD for finding in found):
        raise typer.Exit(FAILED)


def _show(finding: Finding) -> None:
    result(f"{finding.verdict.mark} {finding.check}: {finding.found}")
    if finding.fix:
        result(f"    → {finding.fix}")


async def _look(
    config: str | None,
    data: str | None,
    listen: str | None,
    device: str | None,
    take: Callable[[Finding], None],
) -> None:
    try:
        loaded = load_settings(config)
    except ConfigFaults as error:
        for fault in error.faults:
            take(bad("settings", f"{fault.place}: {fault.reason}", fault.fix))
        return
    take(good("settings", f"in order; {len(loaded.places)} are set, the others have their defaults"))
    async for finding in _look_at_all(*_as_run(loaded, data, listen), device):
        take(finding)


def _as_run(loaded: Loaded, data: str | None, listen: str | None) -> tuple[Settings, bool]:
    """The settings as a server with these options has them, and whether its relay is in the same process."""
    server = loaded.settings.server
    server = replace(server, data_dir=data or server.data_dir, listen=listen or server.listen)
    settings = replace(loaded.settings, server=server)
    if server.relay_url or not relay_key_path(settings).exists():
        return settings, False
    return _joined(settings, public=("server", "public_url") in loaded.places), True


def _joined(settings: Settings, *, public: bool) -> Settings:
    """As `hushpost up` does: no relay is set, but there are keys of one, so it is in the same process."""
    server = settings.server
    own = server.public_url.rstrip("/") if public else _local(server.listen)
    try:
        keys = read_keys_of(relay_key_path(settings), hint=MAKE_RELAY)
    except KeyFileError:
        keys = []
    joined = replace(
        server,
        public_url=own,
        relay_url=f"{own}/relay",
        relay_connect_url=f"{_local(server.listen)}/relay",
        relay_keys=tuple(b64u(key.public.raw) for key in keys if isinstance(key, IdentityKey)),
    )
    return replace(settings, server=joined)


def _local(listen: str) -> str:
    """Where this machine reaches what listens there."""
    host, port = listen_address(listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _look_at_all(settings: Settings, together: bool, device: str | None) -> Findings:  # noqa: FBT001 - as it was found
    from aiohttp import ClientSession  # noqa: PLC0415

    from server.cli import doctor_machine as machine  # noqa: PLC0415 - brings the store
    from server.cli import doctor_server as server  # noqa: PLC0415

    relay_url = settings.server.relay_url.rstrip("/")
    yield machine.look_at_address(settings)
    for finding in machine.look_at_keys(settings):
        yield finding
    yield machine.look_at_data(settings)
    findings, database = await machine.look_at_database(settings, relay_url)
    for finding in findings:
        yield finding
    if settings.redis.url:
        from server.cli.doctor_redis import look_at_redis  # noqa: PLC0415 - brings the relay

        yield await look_at_redis(settings.redis.url)
    async with ClientSession() as session:
        stored = database.rows.relay_keys if database and database.rows else None
        local = _local(settings.server.listen)
        running = await server.look_at_server(session, local)
        yield running
        if together and running.verdict is Verdict.UNKNOWN:
            yield unknown("relay", "it is in the server's process, which does not run", "start the server")
        else:
            async for finding in _look_at_relay(settings, session, relay_url, stored):
                yield finding
        for finding in await server.push_a_test(session, os.environ.get("HUSHPOST_URL") or local, device):
            yield finding


async def _look_at_relay(
    settings: Settings, session: "ClientSession", url: str, stored: str | None
) -> Findings:
    from server.cli import doctor_relay as relay  # noqa: PLC0415 - brings the worker
    from server.worker.relay_look import RelayLook  # noqa: PLC0415

    if not url:
        fix = "set server.relay_url to the relay of your app's publisher, or use `hushpost up`"
        yield bad("relay", "server.relay_url is not set: nothing can be pushed, messages wait", fix)
        yield unknown("clock", "there is no relay to compare this machine's clock with", "see relay")
        return
    look = RelayLook(
        url,
        settings.server.relay_connect_url.rstrip("/") or url,
        session,
        clock=lambda: time.time_ns() // 1_000_000,
        random=secrets.token_bytes,
        relay_pass=settings.server.relay_pass,
    )
    trusted = relay.trust(trusted_relay_keys(settings.server), stored)
    async for finding in relay.look_at_relay(look, _identity(settings), trusted):
        yield finding


def _identity(settings: Settings) -> IdentityKey | None:
    try:
        return read_identity(server_key_path(settings))
    except KeyFileError:
        return None
