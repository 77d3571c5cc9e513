"""One signed exchange for the HTTP signature tests: a push, its outcome, and the other messages that are signed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from crypto.encoding import b64u
from crypto.httpsig import (
    DIRECTORY,
    IDENTITY,
    OUTCOME,
    PAIR,
    PUSH,
    STATUS,
    STATUS_ANSWER,
    Profile,
    RequestContext,
    content_digest,
    read_request,
    request_context,
    sign_answer,
    sign_request,
    verify_answer,
)
from crypto.keys import IdentityPublicKey
from tests.harness import second_http
from tests.harness.cast import NOW, RELAY, SERVER, SERVER_SEED

NONCE = bytes(range(16))
BODY = b'{"pushes":[]}'
ANSWER_BODY = b'{"outcomes":[]}'
PUSH_URI = "https://relay.example/v1/push"
STATUS_URI = "https://relay.example/v1/status"
PAIR_URI = "https://home.example/api/v1/devices/pair"
IDENTITY_URI = "https://home.example/api/v1/identity?nonce=AAECAwQFBgcICQoLDA0ODw"
DIRECTORY_URI = "https://relay.example/.well-known/http-message-signatures-directory"
JSON = "application/json"
PROFILES = {
    "push": PUSH,
    "status": STATUS,
    "outcome": OUTCOME,
    "status_answer": STATUS_ANSWER,
    "pair": PAIR,
    "identity": IDENTITY,
    "directory": DIRECTORY,
}


def push_headers(
    created: int = NOW, lifetime: int = 60, nonce: bytes = NONCE, body: bytes = BODY
) -> dict[str, str]:
    return sign_request(
        PUSH,
        key=SERVER,
        method="POST",
        target_uri=PUSH_URI,
        content_type=JSON,
        body=body,
        created=created,
        lifetime=lifetime,
        nonce=nonce,
    )


def status_headers() -> dict[str, str]:
    return sign_request(
        STATUS,
        key=SERVER,
        method="GET",
        target_uri=STATUS_URI,
        content_type=None,
        body=None,
        created=NOW,
        lifetime=60,
        nonce=NONCE,
    )


def accept(
    profile: Profile,
    headers: dict[str, str],
    *,
    method: str,
    target_uri: str,
    body: bytes | None,
    now: float = NOW,
) -> IdentityPublicKey:
    """Every check of a request, in the relay's order; the key that signed it."""
    signature = read_request(profile, headers.items())
    signature.verify(method=method, target_uri=target_uri)
    signature.check_time(now)
    if body is not None:
        signature.check_digest(body)
    return signature.public


def accept_push(
    headers: dict[str, str],
    *,
    body: bytes = BODY,
    now: float = NOW,
    method: str = "POST",
    target_uri: str = PUSH_URI,
) -> IdentityPublicKey:
    return accept(PUSH, headers, method=method, target_uri=target_uri, body=body, now=now)


def accept_status(headers: dict[str, str]) -> IdentityPublicKey:
    return accept(STATUS, headers, method="GET", target_uri=STATUS_URI, body=None)


@dataclass(frozen=True)
class Answer:
    """An answer with the request that it answers; `replace` makes the altered ones."""

    profile: Profile
    request_headers: dict[str, str]
    method: str
    target_uri: str
    status: int = 200
    body: bytes = ANSWER_BODY
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def context(self) -> RequestContext:
        return request_context(self.method, self.target_uri, self.request_headers.items())

    def signed(self, key: Any = RELAY, created: int = NOW, lifetime: int = 60) -> "Answer":
        headers = sign_answer(
            self.profile,
            key=key,
            status=self.status,
            content_type=JSON,
            body=self.body,
            request=self.context,
            created=created,
            lifetime=lifetime,
        )
        return replace(self, headers={"Content-Type": JSON, **headers})

    def verify(self, *keys: IdentityPublicKey, now: float = NOW) -> None:
        verify_answer(
            self.profile,
            keys=keys or [RELAY.public],
            status=self.status,
            headers=self.headers.items(),
            body=self.body,
            request=self.context,
            now=now,
        )

    @property
    def message(self) -> second_http.Message:
        request = second_http.Message(self.request_headers, self.method, self.target_uri)
        return second_http.Message(self.headers, status=self.status, request=request)


PAIR_HEADERS = {"Content-Type": JSON, "Content-Digest": content_digest(b'{"code":"x"}')}
ANSWERS = {
    "outcome": Answer(OUTCOME, push_headers(), "POST", PUSH_URI).signed(),
    "outcome error": Answer(OUTCOME, push_headers(), "POST", PUSH_URI, status=429).signed(),
    "status_answer": Answer(STATUS_ANSWER, status_headers(), "GET", STATUS_URI).signed(),
    "pair": Answer(PAIR, PAIR_HEADERS, "POST", PAIR_URI, status=201).signed(),
    "identity": Answer(IDENTITY, {}, "GET", IDENTITY_URI).signed(),
}


PUSH_COMPONENTS = second_http.COMPONENTS["push"]
PUSH_PARAMETERS = second_http.parameters("push", SERVER_SEED, NOW, NOW + 60, NONCE)
PUSH_FIELDS = {
    "Content-Type": JSON,
    "Content-Digest": second_http.digest(BODY),
    "Hushpost-Key": b64u(SERVER.public.raw),
}


def forged(
    *,
    components: list[str] = PUSH_COMPONENTS,
    parameters: Mapping[str, str] = PUSH_PARAMETERS,
    fields: Mapping[str, str] = PUSH_FIELDS,
    label: str = "hushpost",
) -> dict[str, str]:
    """A request whose signature is right for what it says, whatever that is."""
    message = second_http.Message(dict(fields), "POST", PUSH_URI)
    return {**fields, **second_http.sign(message, components, dict(parameters), SERVER_SEED, label)}
