"""Devices that do not exist, or were given: the requests for their handles, the handles, and pushes to them."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from crypto.encoding import b64u
from crypto.handle import HandleClaims, Subscription, seal_handle
from relay.conformance.answer import Failed, Skipped
from relay.conformance.subject import Subject
from relay.wire import APPS_PATH, HANDLES_PATH, App

_DAY_MS: Final = 86_400_000


async def handle_for(subject: Subject, provider: str = "", server: str | None = None) -> str:
    """A handle for a token that nobody has, bound to `server`, or to the given key."""
    app = find_app(subject, provider)
    bound = server or subject.given.key.public.id
    found = subject.handles.get((app.provider, bound))
    if found is None:
        found = subject.handles[app.provider, bound] = await issue(subject, request_for(subject, app, bound))
    return found


def find_app(subject: Subject, provider: str = "") -> App:
    """An app of the relay's; `Skipped` where it has none."""
    for app in subject.apps:
        if app.provider == provider or not provider:
            return app
    raise Skipped(f"needs a relay with an app for {provider or 'any provider'} in {APPS_PATH}")


def request_for(subject: Subject, app: App, server: str | None = None) -> dict[str, Any]:
    """A faultless request for a handle, for a device that does not exist."""
    address: dict[str, Any] = {"token": subject.random(32).hex()}
    if app.provider == "webpush":
        address = {"subscription": subscription(subject)}
    return {
        "provider": app.provider,
        "app": app.app,
        "environment": app.environment,
        **address,
        "server": server or subject.given.key.public.id,
        "request": b64u(subject.random(16)),
    }


def subscription(subject: Subject) -> dict[str, Any]:
    """Of a browser that does not exist, at a service that does. The point is the P-256 base point (SEC 2)."""
    point = (
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    return {
        "endpoint": f"https://updates.push.services.mozilla.com/wpush/v2/{b64u(subject.random(48))}",
        "keys": {"p256dh": b64u(bytes.fromhex(point)), "auth": b64u(subject.random(16))},
    }


async def issue(subject: Subject, request: Mapping[str, Any]) -> str:
    """The handle that the relay makes; `Skipped` where it sends handles to their devices."""
    answer = await subject.ask("POST", HANDLES_PATH, request)
    if answer.status == 202:  # noqa: PLR2004 - Accepted
        raise Skipped("needs a relay that answers with the handle; this one sends it to the device")
    if answer.status != 201:  # noqa: PLR2004 - Created
        raise Failed(f"{HANDLES_PATH}: {answer.said}")
    document = answer.json
    if not isinstance(document, dict) or document.keys() != {"handle", "expiresAt"}:
        raise Failed(f'{HANDLES_PATH} must answer {{"handle", "expiresAt"}}')
    return str(document["handle"])


def sealed(subject: Subject, provider: str = "apns", **claims: Any) -> str:
    """A handle made with the relay's own epoch key, of any claims."""
    epoch = subject.given.epochs[-1]
    now = int(subject.now * 1000)
    web = subscription(subject) if provider == "webpush" else None
    right = {
        "provider": provider,
        "app": next((app.app for app in subject.apps if app.provider == provider), "org.example.app"),
        "environment": "production",
        "token": None if web else subject.random(32).hex(),
        "subscription": web and Subscription(web["endpoint"], **web["keys"]),
        "server": subject.given.key.public.id,
        "issued_at": now - _DAY_MS,
        "expires_at": now + _DAY_MS,
    }
    return seal_handle(HandleClaims(**right | claims), epoch=epoch, nonce=subject.random(12))


def push_to(subject: Subject, handle: str, /, **changes: Any) -> dict[str, Any]:
    """A push that is right but for `changes`; a change to None leaves the member out."""
    right = {
        "id": str(UUID(bytes=subject.random(16), version=4)),
        "handle": handle,
        "envelope": b64u(subject.random(768)),
        "priority": "high",
        "ttl": 60,
        "collapse": b64u(subject.random(16)),
        "type": "alert",
    }
    return {name: value for name, value in (right | changes).items() if value is not None}
