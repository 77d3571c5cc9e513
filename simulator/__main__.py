"""The simulator's processes: `python -m simulator providers …` and `python -m simulator phone …`.

Both write JSON lines to standard output, one event each, at once. `providers` prints one line with every address and
file when it is ready; `phone` prints what it does: paired, received (with the envelope's size and times), shown (with
the whole text). SIGTERM and SIGINT end them; SIGUSR1 makes a phone fetch, as opening the app would.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import uvloop

from simulator.handles import PROVIDERS
from simulator.home import Refused
from simulator.identity import NotVerified
from simulator.keeper import Event
from simulator.link import BadLink
from simulator.phone import Phone, Unpaired
from simulator.providers import Ports, Providers
from simulator.state import BadState

WRONG_USE = 2
FAILED = 1
Address = tuple[str, int]


def print_event(event: Event) -> None:
    """Write one line, in ASCII whatever the locale."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def read_address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - the highest port
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT (port 0 takes a free one)")
    return host.strip("[]"), int(port)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simulator", description="Push providers and phones on loopback.")
    commands = parser.add_subparsers(dest="command", required=True)
    add_providers(
        commands.add_parser("providers", help="APNs, Google's token endpoint, FCM, Web Push, control")
    )
    add_phone(commands.add_parser("phone", help="a phone that pairs by a link and shows what it receives"))
    return parser


def add_providers(parser: argparse.ArgumentParser) -> None:
    free = ("127.0.0.1", 0)
    parser.add_argument("--data", type=Path, required=True, help="directory for the CA and the credentials")
    parser.add_argument("--listen", type=read_address, default=free, help="the control endpoint")
    parser.add_argument("--apns", type=read_address, default=free, help="APNs, production")
    parser.add_argument("--apns-sandbox", type=read_address, default=free, help="APNs, sandbox")
    parser.add_argument("--fcm", type=read_address, default=free, help="FCM and Google's token endpoint")
    parser.add_argument("--webpush", type=read_address, default=free, help="the Web Push service")


def add_phone(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="simulated phone")
    parser.add_argument("--platform", choices=PROVIDERS, default="ios")
    parser.add_argument("--suite", type=int, choices=(1, 2), default=2, help="1 X25519, 2 X-Wing")
    parser.add_argument("--control", required=True, help="the simulator's control URL")
    parser.add_argument("--link", help="hushpost://pair?…; not needed where --state is paired already")
    parser.add_argument("--state", type=Path, help="where keys and messages are kept; without it, in memory")
    parser.add_argument("--app", help="APNs topic or FCM project; by default what the relay serves")
    parser.add_argument("--environment", choices=("production", "sandbox"))
    parser.add_argument("--relay", action="append", default=[], help="a relay to trust besides loopback's")
    parser.add_argument("--ca-file", type=Path, help="a CA to trust for the server and the relay")


async def run_providers(options: argparse.Namespace, stop: asyncio.Event) -> int:
    ports = Ports(
        apns=options.apns,
        apns_sandbox=options.apns_sandbox,
        google=options.fcm,
        webpush=options.webpush,
        control=options.listen,
    )
    async with Providers(options.data, ports=ports) as providers:
        print_event({"event": "ready", **providers.addresses()})
        await stop.wait()
    return 0


async def run_phone(options: argparse.Namespace, stop: asyncio.Event) -> int:
    phone = await start_phone(options)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, phone.refresh_soon)
    stopped = asyncio.create_task(stop.wait())
    done = asyncio.create_task(phone.done())
    try:
        await asyncio.wait({stopped, done}, return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            await done
    except Unpaired:
        pass  # it was told as an event
    finally:
        stopped.cancel()
        done.cancel()
        await phone.close()
    return 0


async def start_phone(options: argparse.Namespace) -> Phone:
    state: Path | None = options.state
    if state is not None and await asyncio.to_thread(state.exists):
        return await Phone.open(state, control=options.control, on_event=print_event, ca_file=options.ca_file)
    if options.link is None:
        raise BadLink("link: --link is needed to pair; make one with `hushpost devices pair`")
    return await Phone.pair(
        options.link,
        control=options.control,
        platform=options.platform,
        suite=options.suite,
        name=options.name,
        app=options.app,
        environment=options.environment,
        relays=options.relay,
        file=state,
        on_event=print_event,
        ca_file=options.ca_file,
    )


async def run(options: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    command = run_providers if options.command == "providers" else run_phone
    return await command(options, stop)


def main(arguments: Sequence[str] | None = None) -> int:
    options = make_parser().parse_args(arguments)
    try:
        return uvloop.run(run(options))
    except (BadLink, BadState) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return WRONG_USE
    except (NotVerified, Refused, aiohttp.ClientError, OSError, TimeoutError) as error:
        sys.stderr.write(f"simulator: {type(error).__name__}: {error}\n")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
