"""Asking a server that is in trouble: every answer is looked at, whatever it says."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from simulator.phone import Phone
from tests.harness.stack import Stack

PATIENCE = aiohttp.ClientTimeout(total=30)
READY_SECONDS = 10
_LONG = "https://example.org/" + "x" * 1_800  # makes every message some pages of the database


@dataclass(frozen=True)
class Answer:
    """`text` is the message's, where one was sent; `seconds` is how long the answer took."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    json: Any
    seconds: float
    text: str = ""


@asynccontextmanager
async def paired(stack: Stack) -> AsyncIterator[Phone]:
    phone = await stack.pair(platform="ios", suite=1, name="ios", keep=False)
    try:
        yield phone
    finally:
        await phone.close()


async def ask(stack: Stack, method: str, path: str, body: Any = None, *, text: str = "") -> Answer:
    headers = {"Authorization": f"Bearer {stack.token}"}
    began = time.monotonic()
    async with stack.session.request(
        method, stack.server.url + path, json=body, headers=headers, timeout=PATIENCE
    ) as answer:
        content = await answer.json(content_type=None)
        return Answer(answer.status, answer.headers.copy(), content, time.monotonic() - began, text)


async def send_many(stack: Stack, name: str, number: int) -> list[Answer]:
    """Send messages at the same time."""
    bodies = {
        f"{name} {i}": {"bucketId": "default", "deliveryType": "NORMAL", "title": name, "imageUrl": _LONG}
        for i in range(number)
    }
    return await asyncio.gather(
        *(
            ask(stack, "POST", "/api/v1/messages", body | {"body": text}, text=text)
            for text, body in bodies.items()
        )
    )


def accepted(answers: Sequence[Answer]) -> list[str]:
    """Return the texts of what was accepted."""
    return [answer.text for answer in answers if answer.status == 201]


async def wait_until_ready(stack: Stack) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while (await ask(stack, "GET", "/readyz")).status != 200:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.1)


async def figures(stack: Stack, name: str, **labels: str) -> float:
    """Return the sum of what `/metrics` says under a name, of the samples that have these labels."""
    headers = {"Authorization": f"Bearer {stack.token}"}
    async with stack.session.get(f"{stack.server.url}/metrics", headers=headers) as answer:
        assert answer.status == 200
        text = await answer.text()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
