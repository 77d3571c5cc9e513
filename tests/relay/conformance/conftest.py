"""Relays of ours as processes, one for each way of admission, with all that a case could need from outside."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from crypto.encoding import b64u
from crypto.keys import EpochKey, IdentityKey, read_keys
from relay.conformance.admission import make_pass
from relay.conformance.given import Device, Given
from relay.conformance.subject import Subject
from relay.wire import App
from simulator.providers import Providers
from tests.harness import foreign_process
from tests.harness.foreign_process import running
from tests.harness.ports import free_port

SERVER, DENIED, OPERATOR = (IdentityKey.generate(secrets.token_bytes) for _ in range(3))


@dataclass(frozen=True)
class Place:
    """Where the relays' keys are, and the providers that they push to."""

    folder: Path
    providers: Providers = field(repr=False)

    @property
    def key_file(self) -> Path:
        return self.folder / "data" / "keys" / "relay.keys"

    @property
    def epochs(self) -> tuple[EpochKey, ...]:
        return tuple(key for key in read_keys(self.key_file.read_text()) if isinstance(key, EpochKey))

    @property
    def devices(self) -> tuple[Device, ...]:
        apps = [
            App(provider="apns", app=self.providers.app, environment="production"),
            App(provider="fcm", app=self.providers.project, environment="production"),
        ]
        return tuple(Device(app, self.providers.token(app.provider)) for app in apps)

    def settings(self, url: str, **more: str) -> dict[str, str]:
        host, _, port = self.providers.apns_address.rpartition(":")
        values = {
            "PUBLIC_URL": url,
            "LISTEN": url.removeprefix("http://"),
            "KEY_FILE": str(self.key_file),
            "DENIED": DENIED.public.id,
            "WEBPUSH_0_APP": "org.hushpost.web",
            "WEBPUSH_0_KEY": b64u(bytes([1]) * 32),
            "WEBPUSH_0_SUBJECT": "mailto:operator@example.org",
            "LIMITS_HANDLES": "1000",
            "APNS_0_TOPIC": self.providers.app,
            "APNS_0_KEY_ID": self.providers.key_id,
            "APNS_0_TEAM_ID": self.providers.team_id,
            "APNS_0_KEY_FILE": str(self.providers.apns_key_file),
            "APNS_0_HOST": host,
            "APNS_0_PORT": port,
            "APNS_0_CA_FILE": str(self.providers.ca_file),
            "FCM_0_SERVICE_ACCOUNT_FILE": str(self.providers.service_account_file),
            "FCM_0_ENDPOINT": self.providers.fcm_url,
            "FCM_0_CA_FILE": str(self.providers.ca_file),
        }
        return {f"HUSHPOST_RELAY_{name}": value for name, value in (values | more).items()}


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("relay")
    env = {"HUSHPOST_SERVER_DATA_DIR": "data"}
    making = await foreign_process.run("keys", "new", "relay", directory=folder, env=env)
    assert await making.wait() == 0
    async with Providers(folder / "providers") as providers:
        yield Place(folder, providers)


@asynccontextmanager
async def subject_of(place: Place, folder: Path, given: Given, **settings: str) -> AsyncIterator[Subject]:
    """A relay of its own process, looked at as soon as it answers."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with (
        running("relay", directory=folder, port=port, env=place.settings(url, **settings)),
        aiohttp.ClientSession() as session,
    ):
        subject = Subject(
            url=url,
            reach=url,
            session=session,
            given=given,
            clock=time.time,
            random=secrets.token_bytes,
        )
        await subject.look()
        yield subject


def with_pass(place: Place, url: str) -> Given:
    claims = {"sub": SERVER.public.id, "aud": url, "exp": int(time.time()) + 3600}
    return Given(
        SERVER,
        own_pass=make_pass(OPERATOR, claims),
        denied=DENIED,
        pass_key=OPERATOR,
        epochs=place.epochs,
        devices=place.devices,
    )


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def subjects(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Subject]]:
    """By way of admission: what cannot be asked of one can be of the other."""
    folder = tmp_path_factory.mktemp("subjects")
    plain = Given(SERVER, denied=DENIED, epochs=place.epochs, devices=place.devices)
    async with AsyncExitStack() as stack:
        listed, passed = await asyncio.gather(
            stack.enter_async_context(
                subject_of(
                    place, folder / "allowlist", plain, ADMISSION="allowlist", ALLOWLIST=SERVER.public.id
                )
            ),
            stack.enter_async_context(
                subject_of(
                    place, folder / "pass", plain, ADMISSION="pass", PASS_KEYS=b64u(OPERATOR.public.raw)
                )
            ),
        )
        passed.given = with_pass(place, passed.url)
        await passed.look()
        yield {"allowlist": listed, "pass": passed}
