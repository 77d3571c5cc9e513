"""What can be checked of the running server: whether it is ready, and one test push through everything there is."""

import os
from http import HTTPStatus
from typing import Any

import aiohttp

from server.cli.client import Api
from server.cli.doctor_findings import Finding, bad, good, unknown
from server.cli.terminal import CommandError

_PATIENCE = aiohttp.ClientTimeout(total=10)
_SIGN_IN = 'sign in, then run this again: eval "$(hushpost login)"'


async def look_at_server(session: aiohttp.ClientSession, url: str) -> Finding:
    """Ask the server whether it can work."""
    try:
        async with session.get(f"{url}/readyz", timeout=_PATIENCE, allow_redirects=False) as answer:
            body = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return unknown("server", f"none answers at {url}", "start it, or say where it listens: --listen")
    if answer.status == HTTPStatus.OK:
        return good("server", f"it runs at {url} and is ready")
    detail = body.get("detail") if isinstance(body, dict) else None
    return bad("server", f"it runs at {url} and is not ready: {detail or answer.status}", "see its log")


async def push_a_test(session: aiohttp.ClientSession, url: str, wanted: str | None) -> list[Finding]:
    """Push a test message to one device, and say how far it came."""
    token = os.environ.get("HUSHPOST_TOKEN") or None
    if token is None:
        return [unknown("test push", "nobody is signed in here", _SIGN_IN)]
    api = Api(session, url, token)
    try:
        device = _choose((await api.call("GET", "devices"))["devices"], wanted)
        if isinstance(device, Finding):
            return [device]
        probe = await api.call("POST", f"devices/{device['id']}/test", {})
    except CommandError as error:
        found = str(error).partition("; ")[0]
        return [
            unknown("test push", f"could not be asked for: {found}", f"start the server at {url}; {_SIGN_IN}")
        ]
    return list(_hops(device["name"], probe))


def _choose(devices: list[dict[str, Any]], wanted: str | None) -> dict[str, Any] | Finding:
    if wanted is not None:
        named = [device for device in devices if wanted in {device["id"], device["name"]}]
        if not named:
            return bad(
                "test push", f"you have no device {wanted}", "`hushpost devices list` shows what you have"
            )
        return named[0]
    if not devices:
        return unknown("test push", "no device is paired", "pair one: hushpost devices pair")
    return next((device for device in devices if device["reachable"]), devices[0])


def _hops(name: str, probe: dict[str, Any]) -> list[Finding]:
    return [_hop(name, hop) for hop in probe["hops"]]


def _hop(name: str, hop: dict[str, Any]) -> Finding:
    reason = f" ({hop['reason']})" if hop["reason"] else ""
    at = f" at {hop['at']}" if hop["at"] else ""
    check = f"test push to {name}"
    found = f"{hop['hop']}: {hop['outcome']}{reason}{at}"
    match hop["outcome"]:
        case "stored" | "answered" | "accepted" | "received":
            return good(check, found)
        case "waiting" if hop["hop"] == "device":
            return unknown(check, found, "a device reports when it has its app's leave to run; look at it")
        case "waiting":
            return unknown(check, found, "an earlier hop has not answered yet; see there")
        case _:
            return bad(check, found, _FIXES.get(hop["reason"] or "", "see the server's log, and the relay's"))


_FIXES = {
    "no_handle": "open the app on the device: it gets a new handle by itself",
    "no_relay": "set server.relay_url",
    "unregistered": "open the app on the device: it gets a new handle by itself",
    "handle_expired": "open the app on the device: it gets a new handle by itself",
    "handle_invalid": "open the app on the device: it gets a new handle by itself",
    "not_configured": "the relay has no credentials for the device's app: configure them there",
    "relay_unreachable": "see relay, above",
}
