"""Conservation as an operator sees it: `/metrics` says how many deliveries were created and what became of each.

created = accepted + gone + expired + failed + cancelled + suppressed + waiting, at every moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

WAITING: Final = ("queued", "leased", "waiting")
UNWANTED: Final = ("gone", "expired", "failed")
"""How a delivery ends that was given up: never, where nothing was scripted to go wrong for good."""


@dataclass(frozen=True)
class Books:
    created: int
    lost: int
    by_state: Mapping[str, int]

    @property
    def waiting(self) -> int:
        return sum(self.by_state.get(state, 0) for state in WAITING)

    @property
    def given_up(self) -> int:
        return sum(self.by_state.get(state, 0) for state in UNWANTED)

    @property
    def balanced(self) -> bool:
        return self.lost == 0 and self.created == sum(self.by_state.values())

    def __str__(self) -> str:
        states = ", ".join(f"{number} {state}" for state, number in sorted(self.by_state.items()) if number)
        return f"{self.created} created = {states or 'none'}; {self.lost} lost"


def read_books(text: str) -> Books:
    """Read the books out of `/metrics`; `KeyError` where it does not have them."""
    samples = {
        (sample.name, sample.labels.get("state", "")): int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("hushpost_deliveries")
    }
    return Books(
        created=samples["hushpost_deliveries_created", ""],
        lost=samples["hushpost_deliveries_lost", ""],
        by_state={state: n for (name, state), n in samples.items() if name == "hushpost_deliveries"},
    )


async def ask_books(session: aiohttp.ClientSession, url: str, token: str) -> Books:
    async with session.get(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"}) as answer:
        text = await answer.text()
        if answer.status != 200:
            raise RuntimeError(f"GET {url}/metrics: {answer.status} {text}")
        return read_books(text)
