"""A signed request that can be spoilt in every part: what is wrong with it is all that is wrong with it.

Each part has its right value until it is replaced. What is replaced before the signature is made is signed as it then is;
`headers` are set over what was signed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crypto.encoding import b64u
from crypto.httpsig import PUSH, STATUS, Profile, RequestContext, content_digest, request_context
from crypto.keys import IdentityKey
from crypto.signature import LABEL, LIFETIME, sign_message
from relay.wire import JSON_TYPE, PUSH_PATH, STATUS_PATH

NO_PUSHES = b'{"pushes":[]}'
Fields = tuple[tuple[str, str], ...]
_NAMES = ("created", "expires", "nonce", "keyid", "alg", "tag")


@dataclass(frozen=True)
class Request:
    """A request as it is sent; `context` is what its answer is bound to."""

    method: str
    path: str
    fields: Fields
    body: bytes | None = field(repr=False)
    context: RequestContext
    chunked: bool = False

    def with_fields(self, **changes: str | None) -> "Request":
        """Set fields after the signature was made, or leave them out (None); `_` stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in changes.items()}
        gone = {name.lower() for name in named}
        kept = tuple((name, value) for name, value in self.fields if name.lower() not in gone)
        added = tuple((name, value) for name, value in named.items() if value is not None)
        return replace(self, fields=kept + added)

    def with_lines(self, *lines: tuple[str, str]) -> "Request":
        """Put these lines in the place of those of the same names."""
        names = {name.lower() for name, _ in lines}
        kept = tuple((name, value) for name, value in self.fields if name.lower() not in names)
        return replace(self, fields=(*lines, *kept))

    def field(self, name: str) -> str:
        return next(value for key, value in self.fields if key == name)


@dataclass(frozen=True)
class Draft:
    """A request that is about to be signed. `params` replace a parameter's text, or leave it out (None).

    `url` is the relay's public URL; `created` seconds since the epoch.
    """

    key: IdentityKey = field(repr=False)
    url: str
    created: int
    nonce: bytes = field(repr=False)
    body: bytes | None = field(default=NO_PUSHES, repr=False)
    method: str = "POST"
    path: str = PUSH_PATH
    profile: Profile = PUSH
    lifetime: int = LIFETIME
    content_type: str | None = JSON_TYPE
    digest: str | None = None
    label: str = LABEL
    components: Sequence[str] | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    order: Sequence[str] = _NAMES
    params: Mapping[str, str | None] = field(default_factory=dict)
    suffix: str = ""
    public: str | None = None

    def but(self, **changes: Any) -> "Draft":
        return replace(self, **changes)

    @property
    def _params(self) -> dict[str, str | None]:
        right: dict[str, str | None] = {
            "created": str(self.created),
            "expires": str(self.created + self.lifetime),
            "nonce": f'"{b64u(self.nonce)}"',
            "keyid": f'"{self.key.public.id}"',
            "alg": '"ed25519"',
            "tag": f'"{self.profile.tag}"',
        }
        return right | dict(self.params)

    def sign(self) -> Request:
        target = self.url + self.path
        content = self._content()
        values = {'"@method"': self.method, '"@target-uri"': target, **_as_components(content), **self.values}
        components = self.profile.components if self.components is None else tuple(self.components)
        params = "".join(
            f";{name}={value}" for name in self.order if (value := self._params[name]) is not None
        )
        text = f"({' '.join(components)}){params}{self.suffix}"
        signed = sign_message(Profile("", components), self.key, self.label, values, text)
        fields = (
            *content,
            ("Hushpost-Key", b64u(self.key.public.raw) if self.public is None else self.public),
            *zip(("Signature-Input", "Signature"), signed, strict=True),
        )
        context = request_context(self.method, target, fields)
        return Request(self.method, self.path, fields, self.body, context)

    def _content(self) -> Fields:
        if self.body is None:
            return ()
        digest = content_digest(self.body) if self.digest is None else self.digest
        given = (("Content-Type", self.content_type), ("Content-Digest", digest))
        return tuple((name, value) for name, value in given if value is not None)


def _as_components(fields: Fields) -> dict[str, str]:
    return {f'"{name.lower()}"': value for name, value in fields}


def status_draft(draft: Draft) -> Draft:
    """The same for `GET /v1/status`."""
    return draft.but(method="GET", path=STATUS_PATH, profile=STATUS, body=None)
