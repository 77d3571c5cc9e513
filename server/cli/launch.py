"""How a server, or server and relay on one machine, come up: settings, log, keys, tables, socket, in this order."""

from contextlib import AsyncExitStack
from functools import partial

import structlog
from aiohttp import web
from msgspec.structs import replace

from crypto.encoding import b64u
from relay.config import Admission
from server.app.mounting import mount_relay
from server.cli import build
from server.cli.configfile import Loaded
from server.cli.figures import of_the_only_process
from server.cli.files import (
    ServerKeys,
    load_settings,
    make_relay_keys,
    make_server_keys,
    read_relay_config,
    read_server_keys,
)
from server.cli.listening import Listener, bind
from server.cli.logs import log_to_stderr
from server.cli.relay_app import relay_app
from server.cli.roles import Role, refuse_to_share_a_file
from server.cli.running import Ready, run_until_stopped
from server.cli.tables import migrated
from server.cli.terminal import result, say
from server.config import Settings
from server.domain.host import is_loopback

RELAY_PATH = "/relay"


def server(config: str | None, role: Role) -> None:
    settings = load_settings(config).settings
    refuse_to_share_a_file(settings, role, 1)
    log_to_stderr(settings.log)
    keys = read_server_keys(settings)
    migrated(settings)
    listener = bind(settings.server.listen, "server.listen")
    run_until_stopped(listener, partial(_make, settings, keys, role), _log_ready("server", listener))


async def _make(
    settings: Settings, keys: ServerKeys, role: Role, resources: AsyncExitStack
) -> web.Application:
    """Make the server's application in the only process there is."""
    log = structlog.get_logger("server")
    return await build.server_app(settings, keys, role, of_the_only_process(), log, resources)


def up(data: str | None, listen: str | None, config: str | None) -> None:
    loaded = load_settings(config)
    log_to_stderr(loaded.settings.log)
    wanted = listen or loaded.settings.server.listen
    listener = bind(wanted, "--listen")
    settings = _on_this_machine(loaded, data, listener)
    for path in make_server_keys(settings) + make_relay_keys(settings):
        say(f"made {path}")
    keys = read_server_keys(settings)
    settings = _joined(settings, keys, listener)
    relay_settings = read_relay_config(settings, settings.relay)
    settings = replace(
        settings,
        server=replace(
            settings.server,
            relay_keys=tuple(b64u(key.public.raw) for key in relay_settings.identities),
        ),
    )
    migrated(settings)

    async def make(resources: AsyncExitStack) -> web.Application:
        app = await _make(settings, keys, Role.ALL, resources)
        mount_relay(app, RELAY_PATH, relay_app(relay_settings, of_the_only_process()))
        return app

    run_until_stopped(listener, make, lambda: _say_ready(settings, listener))


def _on_this_machine(loaded: Loaded, data: str | None, listener: Listener) -> Settings:
    """The settings with what the options say, and the address that follows from where we listen."""
    server = replace(loaded.settings.server, listen=listener.address)
    if data is not None:
        server = replace(server, data_dir=data)
    if ("server", "public_url") not in loaded.places:
        server = replace(server, public_url=f"http://{listener.address}")
    return replace(loaded.settings, server=server)


def _joined(settings: Settings, keys: ServerKeys, listener: Listener) -> Settings:
    """The relay below the server's own address, for this server only (beside whom the settings admit)."""
    url = settings.server.public_url.rstrip("/") + RELAY_PATH
    reach = f"http://{listener.local_address}{RELAY_PATH}"  # not round by the public address, which may be a proxy's
    own = keys.identity.public.id
    section = replace(
        settings.relay,
        public_url=url,
        admission=Admission.ALLOWLIST,
        allowlist=(own, *(other for other in settings.relay.allowlist if other != own)),
        issue_unconfigured=settings.relay.issue_unconfigured
        or not (settings.relay.apns or settings.relay.fcm),
    )
    return replace(
        settings, server=replace(settings.server, relay_url=url, relay_connect_url=reach), relay=section
    )


def _log_ready(what: str, listener: Listener) -> Ready:
    return lambda: structlog.get_logger(what).info("listening", address=listener.address)


def _say_ready(settings: Settings, listener: Listener) -> None:
    url = settings.server.public_url
    result(f"Hushpost is up at {url}")
    say(f"""
In another terminal:
  export HUSHPOST_URL={url}
  eval "$(hushpost register)"          makes your account and signs you in
  hushpost devices pair --wait         shows a QR code; scan it with the app
  hushpost send "Hello from Hushpost"
  hushpost tokens new backups          makes a token for scripts
""")
    if not is_loopback(listener.host) and url.startswith("http://"):
        say(
            "Phones take only https addresses: put a proxy with TLS in front and set HUSHPOST_SERVER_PUBLIC_URL."
        )
