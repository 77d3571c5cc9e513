"""Where an organization's own server is asked for texts: `POST /v2/organizations/resolver/{set,get}`."""

from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired, TypedDict

from server.api.bodies import Body, Time, note, own
from server.api.describe import describes
from server.api.reading import Fields
from server.commands.resolving import Endpoints
from server.commands.webhooks import read_key
from server.dialects.velt.fields import MESSAGE, SUCCESS, OrganizationId
from server.dialects.velt.rpc import Call
from server.domain import rules
from server.domain.message import LONGEST_URL
from server.domain.times import show_time

_LONGEST_SECRET = 100
_SET = "The notification resolver was set."
_REMOVED = "The notification resolver was removed."
_FOUND = "The notification resolver was retrieved."
_NONE = "No notification resolver is set."
_EXAMPLE = "https://app.example.com/velt/notifications"


def _read_url(fields: Fields, name: str) -> str | None:
    """Return where to ask, None where nobody is to be asked any more: that is said, and not left out."""
    if name not in fields.names():
        fields.fault(name, "is missing", "give an http(s) URL, or an empty one to remove what is set")
    if fields.value(name) in (None, ""):
        return None
    return fields.optional(name, most=LONGEST_URL, rule=rules.call_url)


def _read_secret(fields: Fields, name: str) -> bytes | None:
    text = fields.optional(name, most=_LONGEST_SECRET)
    key = None if text is None else read_key(text)
    if text is not None and key is None:
        fix = "give whsec_ and 24 to 64 bytes in base64, or leave it out and get one"
        fields.fault(name, "is no secret of Standard Webhooks", fix)
    return key


class SetResolverBody(Body, frozen=True, kw_only=True):
    """Where an organization's server is asked."""

    organization_id: OrganizationId
    url: Annotated[
        str | None,
        own(
            _read_url,
            "Where texts are asked for with a POST; null or empty: nowhere any more.",
            type=["string", "null"],
            maxLength=LONGEST_URL,
            examples=[_EXAMPLE],
        ),
    ]
    secret: Annotated[
        bytes | None,
        own(
            _read_secret,
            "The key that requests are signed with: `whsec_` and 24 to 64 bytes in base64. Left out: one is made.",
            type="string",
            maxLength=_LONGEST_SECRET,
        ),
    ] = None


class SetResolverRequest(Body, frozen=True, kw_only=True):
    """Where an organization's server is to be asked for texts."""

    data: Annotated[SetResolverBody, note("Where, and signed with which key.")]


class ResolverBody(Body, frozen=True, kw_only=True):
    """Whose resolver."""

    organization_id: OrganizationId


class GetResolverRequest(Body, frozen=True, kw_only=True):
    """Whose resolver to show."""

    data: Annotated[ResolverBody, note("Whose.")]


class ResolverView(TypedDict):
    """Where an organization's server is asked for texts."""

    organizationId: Annotated[str, note("The organization.")]
    url: Annotated[str | None, note("Where it is asked; null: nowhere.")]
    setAt: Annotated[Time | None, note("Since when; null: it is not asked.")]
    secret: NotRequired[
        Annotated[str, note("The key that requests are signed with: shown where it is set, and never again.")]
    ]


class ResolverResultView(TypedDict):
    """What was done."""

    status: Annotated[Literal["success"], SUCCESS]
    message: Annotated[str, MESSAGE]
    data: Annotated[ResolverView, note("How it is now.")]


class ResolverAnswer(TypedDict):
    """Where an organization's server is asked now."""

    result: Annotated[ResolverResultView, note("How it is now.")]


@dataclass(frozen=True)
class VeltResolving:
    endpoints: Endpoints

    @describes(
        "Say where texts are asked for",
        detail="What was added with `isNotificationResolverUsed` is asked for there whenever it is read or pushed, in requests signed"
        " by [Standard Webhooks](https://www.standardwebhooks.com). What was set before is replaced, its secret too.",
        takes=SetResolverRequest,
        gives=ResolverAnswer,
        errors=("tenant_not_found",),
    )
    async def set(self, call: Call[SetResolverRequest]) -> ResolverAnswer:
        body = call.body.data
        tenant_id = await call.organization(body.organization_id)
        if body.url is None:
            await self.endpoints.remove(tenant_id)
            return _answer(_REMOVED, body.organization_id, None, None)
        secret = await self.endpoints.set(tenant_id, body.url, body.secret, call.now)
        answer = _answer(_SET, body.organization_id, body.url, call.now)
        answer["result"]["data"]["secret"] = secret
        return answer

    @describes(
        "Show where texts are asked for",
        takes=GetResolverRequest,
        gives=ResolverAnswer,
        errors=("tenant_not_found",),
    )
    async def get(self, call: Call[GetResolverRequest]) -> ResolverAnswer:
        organization = call.body.data.organization_id
        found = await self.endpoints.find(await call.organization(organization))
        if found is None:
            return _answer(_NONE, organization, None, None)
        return _answer(_FOUND, organization, found.url, found.set_at)


def _answer(message: str, organization: str, url: str | None, set_at: int | None) -> ResolverAnswer:
    shown = None if set_at is None else show_time(set_at)
    view = ResolverView(organizationId=organization, url=url, setAt=shown)
    return ResolverAnswer(result=ResolverResultView(status="success", message=message, data=view))
