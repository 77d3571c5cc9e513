"""What goes wrong in a soak, and when: faults that the providers play, and wires between relay and providers that break.

Phases follow each other in a cycle: quiet, faults, flood, faults. In a phase of faults each provider has its own rotation
over all that can go wrong with it, a few seconds each, so that in a long run every fault meets every other provider's.
What is scripted meets some requests, not all: some succeed beside it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import aiohttp

from simulator.http2_frames import WRONG
from tests.harness.soak_wire import Wire

FAULT_SECONDS = 3.0
SCRIPT_SECONDS = 0.5
SCRIPTED = 3
"""The first so many half seconds; then what was left behind has time to recover."""

CUT = "cut"
"""Half a frame, to which the next answers are the other half: what they look like then is anything, an answer too."""

TIMES = 8
"""How many requests a script meets at most before the next is written, where it says nothing else."""

Script = Mapping[str, Any]
ANSWERS: Mapping[str, tuple[Script, ...]] = {
    "apns": (
        {"reason": "TooManyRequests", "retryAfter": 1},
        {"reason": "TooManyProviderTokenUpdates"},
        {"reason": "InternalServerError"},
        {"reason": "ServiceUnavailable"},
        {"reason": "Shutdown"},
        {"reason": "ExpiredProviderToken"},
        {"reason": "BadTopic"},
        {"reason": "InternalServerError", "size": 100_000},
        {"reason": "NotInAnyList", "status": 418},
    ),
    "fcm": (
        {"reason": "QUOTA_EXCEEDED", "retryAfter": 1},
        {"reason": "UNAVAILABLE"},
        {"reason": "UNAVAILABLE", "size": 100_000},
        {"reason": "INTERNAL"},
        {"reason": "THIRD_PARTY_AUTH_ERROR"},
        {"reason": "INVALID_ARGUMENT"},
    ),
    "google": ({"reason": "internal_failure"}, {"reason": "temporarily_unavailable"}),
    "webpush": (
        {"reason": "too_many_requests", "retryAfter": 1},
        {"reason": "unavailable"},
        {"reason": "internal", "size": 100_000},
        {"reason": "too_large"},
        {"status": 307},
    ),
}
ANY: tuple[Script, ...] = (
    {"kind": "hang", "times": 3},
    {"kind": "delay", "delay": 0.4, "times": 20},
    {"kind": "close"},
    {"kind": "lose"},
    {"kind": "slow", "delay": 0.02, "times": 10},
    {"kind": "hang_up"},
    {"kind": "unreachable", "delay": 1.0},
    *(
        {"kind": "certificate", "on": "connect", "form": form, "reason": form}
        for form in ("name", "expired", "stranger", "none")
    ),
    *({"wire": action} for action in ("cut", "restart", "hold", "corrupt")),
)
HTTP2: tuple[Script, ...] = (
    {"kind": "mute", "delay": 2.0},
    {"kind": "close", "on": "connect"},
    {"kind": "mute", "on": "connect", "delay": 1.0},
    {"kind": "reset", "code": "INTERNAL_ERROR", "times": 5},
    {"kind": "refused", "times": 10},
    {"kind": "reset_after", "code": "CANCEL", "times": 5},
    {"kind": "goaway"},
    {"kind": "goaway_open"},
    {"kind": "goaway_drain"},
    {"kind": "goaway_taken"},
    {"kind": "goaway_answered"},
    {"kind": "goaway_graceful", "delay": 0.2},
    {"kind": "padded", "times": 20},
    {"kind": "continued", "times": 5},
    {"kind": "interim", "times": 20},
    {"kind": "trailers", "times": 20},
    {"kind": "settings", "settings": {"MAX_CONCURRENT_STREAMS": 1}, "delay": 1.5},
    {"kind": "settings", "settings": {"MAX_CONCURRENT_STREAMS": 0}, "delay": 1.0},
    {"kind": "settings", "settings": {"INITIAL_WINDOW_SIZE": 100}, "delay": 1.0},
    {"kind": "stall", "delay": 1.0},
    *(
        {"kind": "wrong", "form": form, "reason": f"wrong_{form}", "times": 2}
        for form in WRONG
        if form != CUT
    ),
)


def scripts_of(provider: str) -> list[Script]:
    """Everything that can go wrong with one provider. FCM's listener is Google's token end point as well."""
    found = [*ANSWERS[provider], *ANY]
    if provider == "fcm":
        found += [
            {"provider": "google", **one} for one in (*ANSWERS["google"], {"kind": "hang"}, {"kind": "close"})
        ]
    if provider != "webpush":
        found += HTTP2
    return found


def name_of(script: Script) -> str:
    parts = (script.get(name) for name in ("wire", "kind", "reason", "on"))
    return " ".join(str(one) for one in parts if one)


class Faults:
    """`shown` counts how often each was scripted; `now` says what is under way."""

    def __init__(
        self, session: aiohttp.ClientSession, control: str, wires: Mapping[str, Wire], chance: random.Random
    ) -> None:
        self.shown: Counter[tuple[str, str]] = Counter()
        self.now: dict[str, str] = {}
        self._session = session
        self._url = f"{control}/control/faults"
        self._wires = wires
        self._chance = chance
        self._rotations = {provider: self._rotation(provider) for provider in wires}

    def _rotation(self, provider: str) -> Iterator[Script]:
        scripts = scripts_of(provider)
        while True:
            self._chance.shuffle(scripts)
            yield from scripts

    async def check(self) -> None:
        """Let the simulator read every script once, so that a mistake in one is not found half an hour later."""
        for provider in self._wires:
            for script in scripts_of(provider):
                if "wire" not in script:
                    await self._write({"provider": provider, **script, "times": 1})
        await self._forget()

    async def play(self, seconds: float) -> None:
        """Let everything go wrong for a while, and then nothing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for provider in self._wires:
                    group.create_task(self._play(provider))
        self.now.clear()
        await self._forget()

    async def _play(self, provider: str) -> None:
        for script in self._rotations[provider]:
            self.now[provider] = name_of(script)
            self.shown[provider, name_of(script)] += 1
            if "wire" in script:
                await self._wires[provider].break_it(script["wire"])
                await asyncio.sleep(FAULT_SECONDS)
            else:
                await self._script({"provider": provider, **script})

    async def _script(self, script: Script) -> None:
        """Write it again and again; for a new connection only once, lest no provider is ever reached."""
        for number in range(int(FAULT_SECONDS / SCRIPT_SECONDS)):
            times = script.get("times", TIMES)
            if "on" not in script and number < SCRIPTED:
                await self._write({**script, "times": self._chance.randint(1, times)})
            elif not number:
                await self._write({**script, "times": 1})
            await asyncio.sleep(SCRIPT_SECONDS)

    async def _write(self, script: Script) -> None:
        async with self._session.post(self._url, json=script) as answer:
            if answer.status != 204:
                raise RuntimeError(f"the simulator does not take {script}: {await answer.text()}")

    async def _forget(self) -> None:
        async with self._session.delete(self._url) as answer:
            answer.raise_for_status()
