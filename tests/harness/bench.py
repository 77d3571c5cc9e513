"""`./dev bench [theme…]`: what Hushpost costs, measured on this machine through the same commands and sockets that people use.

Server and relay are processes of their own, and so is the load on the server; the simulated providers and the phones share
this one, so that on two cores a figure is a lower bound of what the measured process can do. Figures that were
kept are in docs/performance.md.
"""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from tests.harness import bench_parts
from tests.harness.bench_accept import accept
from tests.harness.bench_activity import activity
from tests.harness.bench_everyone import everyone
from tests.harness.bench_fanout import fanout, fanout_large
from tests.harness.bench_figures import RUNS, say
from tests.harness.bench_migration import migration
from tests.harness.bench_relay import relay
from tests.harness.bench_sync import read_sync
from tests.harness.bench_topic import topic
from tests.harness.bench_workers import workers

THEMES: dict[str, Callable[[Path], Awaitable[None]]] = {
    "seals": bench_parts.seals,
    "relay": relay,
    "accept": accept,
    "latency": bench_parts.latency,
    "read-sync": read_sync,
    "fanout": fanout,
    "fanout-large": fanout_large,
    "workers": workers,
    "activity": activity,
    "topic": topic,
    "everyone": everyone,
    "migration": migration,
}
LONG = frozenset({"fanout-large", "activity", "topic", "everyone", "migration"})
"""Only when they are named."""


async def bench(directory: Path, themes: list[str]) -> None:
    say(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        f"median of {RUNS} (range)",
    )
    for theme in themes:
        await THEMES[theme](directory / theme)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "themes",
        nargs="*",
        metavar="theme",
        help=f"of {', '.join(THEMES)}; default: all but {', '.join(LONG)}",
    )
    themes = parser.parse_args().themes or [theme for theme in THEMES if theme not in LONG]
    if unknown := set(themes) - THEMES.keys():
        parser.error(f"no theme {', '.join(sorted(unknown))}; there are {', '.join(THEMES)}")
    with tempfile.TemporaryDirectory(prefix="hushpost-bench-") as directory:
        try:
            asyncio.run(bench(Path(directory), themes))
        except (RuntimeError, aiohttp.ClientError, OSError) as error:
            sys.stderr.write(f"bench: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
