"""Web Push between us and libraries that others wrote.

`http_ece` (npm and PyPI) opens what we encrypt, and we what it does; `web-push` (npm) pushes to the simulated push service.
"""

import secrets
from typing import Any

import pytest

from crypto.encoding import b64u, unb64u
from crypto.errors import CryptoError
from crypto.vapid import VapidKey
from crypto.webpush import LARGEST_PLAINTEXT, SubscriptionKey, decrypt, encrypt
from simulator.providers import Providers
from tests.harness.others import node, python

pytestmark = pytest.mark.asyncio(loop_scope="package")

SIZES = [0, 1, 768, 1536, 2304, LARGEST_PLAINTEXT]


@pytest.fixture
def browser() -> SubscriptionKey:
    return SubscriptionKey.generate(secrets.token_bytes)


def _encrypted(plaintext: bytes, browser: SubscriptionKey) -> bytes:
    return encrypt(plaintext, p256dh=browser.p256dh, auth=browser.auth, random=secrets.token_bytes)


def _opening(body: bytes, browser: SubscriptionKey) -> dict[str, Any]:
    return {"work": "open", "body": b64u(body), "scalar": b64u(browser.scalar), "auth": b64u(browser.auth)}


@pytest.mark.parametrize("size", SIZES)
async def test_http_ece_for_node_opens_what_we_encrypt(browser: SubscriptionKey, size: int) -> None:
    plaintext = secrets.token_bytes(size)
    opened = await node("http_ece.js", _opening(_encrypted(plaintext, browser), browser))
    assert opened == {"plaintext": b64u(plaintext)}


async def test_http_ece_for_python_opens_what_we_encrypt(browser: SubscriptionKey) -> None:
    plaintext = secrets.token_bytes(2304)
    opened = await python("open_webpush.py", _opening(_encrypted(plaintext, browser), browser))
    assert opened == {"plaintext": b64u(plaintext)}


async def test_no_library_opens_what_is_for_another_browser(browser: SubscriptionKey) -> None:
    other = SubscriptionKey.generate(secrets.token_bytes)
    given = _opening(_encrypted(b"hello", browser), other)
    assert "error" in await node("http_ece.js", given)
    with pytest.raises(CryptoError):
        decrypt(_encrypted(b"hello", browser), key=other)


@pytest.mark.parametrize("size", SIZES)
async def test_we_open_what_http_ece_encrypts(browser: SubscriptionKey, size: int) -> None:
    plaintext, sender = secrets.token_bytes(size), SubscriptionKey.generate(secrets.token_bytes)
    given = {
        "work": "seal",
        "plaintext": b64u(plaintext),
        "scalar": b64u(sender.scalar),
        "p256dh": b64u(browser.p256dh),
        "auth": b64u(browser.auth),
    }
    made = await node("http_ece.js", given)
    assert decrypt(unb64u(made["body"]), key=browser) == plaintext


def _pushing(
    providers: Providers, browser: SubscriptionKey, sender: VapidKey, subscriber: VapidKey
) -> dict[str, Any]:
    subscription = providers.subscription(subscriber.application_server_key, key=browser)
    host, _, address = providers.webpush_connect.partition("=")
    return {
        "lead": {host: address},
        "subscription": subscription,
        "payload": b64u(bytes(range(256)) * 9),
        "publicKey": sender.application_server_key,
        "privateKey": b64u(sender.scalar),
        "topic": b64u(bytes(16)),
    }


async def test_web_push_pushes_to_the_simulated_service(
    providers: Providers, browser: SubscriptionKey
) -> None:
    key = VapidKey.generate(secrets.token_bytes)
    given = _pushing(providers, browser, key, key)
    answer = await node("web_push.js", given, roots=providers.ca_file)
    assert answer == {"status": 201}
    [record] = [one for one in providers.recorded if one.provider == "webpush"]
    assert decrypt(record.payload, key=browser) == bytes(range(256)) * 9


async def test_web_push_is_refused_with_the_key_of_another(
    providers: Providers, browser: SubscriptionKey
) -> None:
    sender, subscriber = (VapidKey.generate(secrets.token_bytes) for _ in range(2))
    given = _pushing(providers, browser, sender, subscriber)
    answer = await node("web_push.js", given, roots=providers.ca_file)
    assert answer["status"] in {401, 403}
