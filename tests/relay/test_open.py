"""A relay that admits anybody: who makes himself many keys has no more of it than with one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network

from crypto.keys import IdentityKey
from relay.config import Admission, LimitSettings
from relay.wire import MAX_BYTES, PUSH_PATH, encode_pushes
from simulator.providers import Providers
from tests.relay.conftest import StartRelay, apns_app
from tests.relay.running import SERVER_KEY, Answer, Relay, body_of, push

BEHIND_US = (ip_network("127.0.0.0/8"),)
THEIRS, OURS = "192.0.2.7", "198.51.100.1"
BAD_TOKEN = "ab" * 32


def made_up(number: int) -> IdentityKey:
    return IdentityKey.from_seed(number.to_bytes(32))


@asynccontextmanager
async def slow_body(relay: Relay, key: IdentityKey) -> AsyncIterator[None]:
    """A request that the relay takes, and waits for the body of."""
    host, _, port = relay.url.removeprefix("http://").rpartition(":")
    fields = relay.sign(b"never sent", key=key) | {
        "Host": "relay.test",
        "Content-Length": str(MAX_BYTES),
        "X-Forwarded-For": THEIRS,
        "Expect": "100-continue",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {PUSH_PATH} HTTP/1.1\r\n{head}\r\n".encode())
    await reader.readline()  # 100 Continue, written as its handler is called
    try:
        yield
    finally:
        writer.close()
        await writer.wait_closed()


async def from_address(relay: Relay, address: str, body: bytes, key: IdentityKey = SERVER_KEY) -> Answer:
    return await relay.post(body, headers={"X-Forwarded-For": address}, key=key)


async def test_one_address_takes_no_more_than_its_part_of_the_room_for_bodies(
    start_relay: StartRelay,
) -> None:
    relay = await start_relay(admission=Admission.OPEN, trusted_proxies=BEHIND_US)
    async with AsyncExitStack() as held:
        for number in range(8):  # as many as there is room for
            await held.enter_async_context(slow_body(relay, made_up(number)))
        assert (await from_address(relay, OURS, body_of([]))).status == 200
        assert (await from_address(relay, THEIRS, body_of([]), key=made_up(8))).code == "limited"


async def test_an_address_has_one_turn_however_many_keys_it_has(
    start_relay: StartRelay, providers: Providers
) -> None:
    providers.script("apns", kind="delay", delay=0.01)
    relay = await start_relay(
        admission=Admission.OPEN,
        trusted_proxies=BEHIND_US,
        apns=(apns_app(providers),),
        limits=LimitSettings(in_flight=1),
    )
    token = providers.token("apns")

    def batch(key: IdentityKey, size: int) -> bytes:
        return encode_pushes([push(relay.handle(token, server=key.public.id), one) for one in range(size)])

    keys = [made_up(number) for number in range(80)]
    flood = asyncio.gather(*(from_address(relay, THEIRS, batch(key, 3), key) for key in keys))
    await providers.until(lambda recorded: len(recorded) > 5)
    await from_address(relay, OURS, batch(SERVER_KEY, 1))
    assert len(providers.recorded) < len(keys) // 2
    assert {answer.status for answer in await flood} == {200}


async def test_a_new_key_of_an_address_that_sent_to_bad_tokens_goes_apart(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(
        admission=Admission.OPEN, trusted_proxies=BEHIND_US, apns=(apns_app(providers),)
    )

    async def send(address: str, key: IdentityKey, tokens: list[str]) -> int:
        """The connection of the last of them."""
        pushes = [
            push(relay.handle(token, server=key.public.id), number) for number, token in enumerate(tokens)
        ]
        assert (await from_address(relay, address, encode_pushes(pushes), key=key)).status == 200
        return providers.recorded[-1].connection

    good = providers.token("apns")
    before = await send(OURS, SERVER_KEY, [good])
    await send(THEIRS, made_up(1), [BAD_TOKEN] * 20)
    assert await send(THEIRS, made_up(2), [good]) != before
    assert await send(OURS, SERVER_KEY, [good]) == before
    await send(THEIRS, made_up(3), [BAD_TOKEN] * 40)  # more than half: now that key would wait
    assert await send(THEIRS, made_up(4), [good]) != before
