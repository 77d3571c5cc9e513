"""`hushpost devices`: the phones and browsers that messages are pushed to."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from server.cli.client import DEFAULT_URL, Api, UrlOption, run
from server.cli.terminal import CommandError, JsonOption, result, result_json, say

commands = typer.Typer(no_args_is_help=True, help="Pair, list, test and delete devices.")

_LOOK_EVERY = 1.0  # seconds

DeviceArgument = Annotated[str, typer.Argument(metavar="ID", help="As `hushpost devices list` shows it.")]


@commands.command("list")
def list_devices(url: UrlOption = DEFAULT_URL, *, as_json: JsonOption = False) -> None:
    """List your devices, with the fingerprint that each of them shows too."""
    devices = run(url, _devices)
    if as_json:
        result_json(devices)
        return
    for device in devices:
        result(_line(device))
    if not devices:
        say("no device is paired yet; `hushpost devices pair` shows how")


@commands.command()
def pair(
    url: UrlOption = DEFAULT_URL,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until a device has used the code.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a link and a QR code that pair one device, within ten minutes."""

    async def work(api: Api) -> Any:
        known = {device["id"] for device in await _devices(api)} if wait else set()
        code = await api.call("POST", "devices/pairing-codes", {})
        if not as_json:
            _show_code(code)
        elif not wait:
            return {"link": code["link"], "expiresAt": code["expiresAt"]}
        return await _paired(api, known, code["expiresAt"]) if wait else None

    answer = run(url, work)
    if as_json:
        result_json(answer)
    elif answer is not None:
        result(f"paired: {answer['name']} ({answer['id']}), fingerprint {answer['fingerprint']}")


@commands.command()
def delete(device_id: DeviceArgument, url: UrlOption = DEFAULT_URL) -> None:
    """Unpair a device: nothing is sent to it any more, and its token is refused."""
    run(url, lambda api: api.call("DELETE", f"devices/{device_id}"))


@commands.command("test")
def send_test(
    device_id: DeviceArgument, url: UrlOption = DEFAULT_URL, *, as_json: JsonOption = False
) -> None:
    """Push a test message to a device and show the outcome of each hop; fails unless the provider took it."""
    probe = run(url, lambda api: api.call("POST", f"devices/{device_id}/test", {}))
    if as_json:
        result_json(probe)
    else:
        for hop in probe["hops"]:
            reason = f" ({hop['reason']})" if hop["reason"] else ""
            result(f"{hop['hop']}: {hop['outcome']}{reason} {hop['at'] or ''}".rstrip())
    if probe["state"] != "accepted":
        raise CommandError(f"the test push is {probe['state']}, not accepted")


async def _devices(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.call("GET", "devices"))["devices"]
    return found


def _show_code(code: dict[str, Any]) -> None:
    import segno  # noqa: PLC0415 - nothing else shows a QR code

    result(code["link"])
    segno.make(code["link"], error="m").terminal(compact=True)
    say("scan it with the app, or open the link on the phone; it is good once, for ten minutes")


async def _paired(api: Api, known: set[str], expires_at: str) -> dict[str, Any]:
    """The device that was not there before. The server tells nobody of it, so it is asked until the code ends."""
    from asyncio import sleep  # noqa: PLC0415 - only a server's call needs it

    end = datetime.fromisoformat(expires_at).timestamp()
    while time.time() < end:
        for device in await _devices(api):
            if device["id"] not in known:
                return device
        await sleep(_LOOK_EVERY)
    raise CommandError(
        f"no device has used the code; it ended at {datetime.fromtimestamp(end, UTC):%H:%M} UTC"
    )


def _line(device: dict[str, Any]) -> str:
    fault = f" ({device['handleFault']})" if device["handleFault"] else ""
    state = "reachable" if device["reachable"] else f"unreachable{fault}"
    key = device["fingerprint"] or "no key: it is only woken"
    return f"{device['id']}  {device['name']}  {device['platform']}  {state}  {key}"
