"""A relay that is a process of its own and has no server beside it: `hushpost relay` with the simulated providers' credentials."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crypto.keys import EpochKey, IdentityKey, IdentityPublicKey, read_keys
from tests.harness.ports import free_port
from tests.harness.process import HUSHPOST, Process, environment


@dataclass(frozen=True)
class LoneRelay:
    """`epoch`: so that handles can be made without asking for each."""

    process: Process
    key: IdentityPublicKey
    epoch: EpochKey = field(repr=False)

    @property
    def url(self) -> str:
        return self.process.url


async def lone_relay(
    directory: Path,
    *,
    credentials: Mapping[str, str],
    reached: Mapping[str, str],
    relay: str = "",
    limits: str = "",
    level: str = "info",
    workers: int = 1,
) -> LoneRelay:
    """Make its keys and its configuration; nothing is started.

    `credentials` is what `Providers.addresses` gives, `reached` host and port by provider; `relay` and `limits` are further
    lines of those tables. Web Push is served where there is a `vapidKey` (b64u of its scalar).
    """
    address = f"127.0.0.1:{free_port()}"
    config = directory / "hushpost.toml"
    web = "vapidKey" in credentials
    relay += _web_names(credentials, reached) if web else ""
    tables = [_relay(directory, address, relay, limits), _apps(credentials, reached), _log(level)]
    tables += [_web_app(credentials)] if web else []
    await asyncio.to_thread(config.write_text, "".join(tables))
    await _make_keys(config)
    keys = read_keys(await asyncio.to_thread((directory / "relay.keys").read_text))
    command = ("relay", "--workers", str(workers)) if workers > 1 else ("relay",)
    return LoneRelay(
        Process("relay", command, config, f"http://{address}", directory / "relay.log"),
        next(key.public for key in keys if isinstance(key, IdentityKey)),
        next(key for key in keys if isinstance(key, EpochKey)),
    )


async def _make_keys(config: Path) -> None:
    command: Sequence[str | Path] = (HUSHPOST, "keys", "new", "relay", "--config", config)
    making = await asyncio.create_subprocess_exec(
        *command, env=environment({}), stderr=asyncio.subprocess.DEVNULL
    )
    assert await making.wait() == 0, "hushpost keys new relay failed"


def _relay(directory: Path, address: str, relay: str, limits: str) -> str:
    return f"""
[relay]
public_url = "http://{address}"
listen = "{address}"
key_file = "{directory / "relay.keys"}"
{relay}

[relay.limits]
{limits}
"""


def _apps(credentials: Mapping[str, str], reached: Mapping[str, str]) -> str:
    host, _, port = reached["apns"].rpartition(":")
    return f"""
[[relay.apns]]
topic = "{credentials["app"]}"
key_id = "{credentials["keyId"]}"
team_id = "{credentials["teamId"]}"
key_file = "{credentials["apnsKeyFile"]}"
environments = ["production"]
host = "{host}"
port = {port}
ca_file = "{credentials["caFile"]}"

[[relay.fcm]]
service_account_file = "{credentials["serviceAccountFile"]}"
endpoint = "https://{reached["fcm"]}"
token_uri = "https://{reached["fcm"]}/token"
ca_file = "{credentials["caFile"]}"
"""


def _web_names(credentials: Mapping[str, str], reached: Mapping[str, str]) -> str:
    return f"""
webpush_connect = ["{credentials["webpushHost"]}={reached["webpush"]}"]
webpush_ca_file = "{credentials["caFile"]}"
"""


def _web_app(credentials: Mapping[str, str]) -> str:
    return f"""
[[relay.webpush]]
app = "{credentials["webApp"]}"
key = "{credentials["vapidKey"]}"
subject = "mailto:operator@example.org"
"""


def _log(level: str) -> str:
    return f"""
[log]
format = "json"
level = "{level}"
"""
