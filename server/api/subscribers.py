"""`/api/v1/subscribers`: the users of a tenant, as its own servers keep them under names of their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypedDict

from aiohttp import web
from msgspec import UNSET, UnsetType

from server.api.answers import show
from server.api.bodies import Body, Id, Time, note, read, read_query, text
from server.api.describe import describes
from server.api.pages import PageQuery
from server.api.reading import read_json
from server.commands import subscribers
from server.commands.acting import settle
from server.commands.erasing import Erased
from server.commands.subscribers import SubscriberData
from server.domain import rules
from server.domain.account import LONGEST_EMAIL, LONGEST_NAME, PROFILE, Caller, User
from server.domain.ports import Clock, Database, Random
from server.domain.times import show_time

_LONGEST_PHONE = 16
_FIRST_NAME = text("First name.", most=LONGEST_NAME)
_LAST_NAME = text("Last name.", most=LONGEST_NAME)
_EMAIL = text("Email address; nobody else's in the tenant.", most=LONGEST_EMAIL, rule=rules.email)
_PHONE = text(
    "Telephone number with its country code, like +4915112345678 (E.164).",
    most=_LONGEST_PHONE,
    rule=rules.phone,
)
_LOCALE = text("Language, as a tag like en-GB (BCP 47).", most=LONGEST_NAME, rule=rules.language_tag)
_ZONE = text("Time zone, like Europe/Berlin (IANA).", most=LONGEST_NAME, rule=rules.zone)


class SubscriberChange(Body, frozen=True, kw_only=True):
    """What is known of a subscriber; what is left out stays as it is, null clears."""

    first_name: Annotated[str, _FIRST_NAME] | UnsetType | None = UNSET
    last_name: Annotated[str, _LAST_NAME] | UnsetType | None = UNSET
    email: Annotated[str, _EMAIL] | UnsetType | None = UNSET
    phone: Annotated[str, _PHONE] | UnsetType | None = UNSET
    locale: Annotated[str, _LOCALE] | UnsetType | None = UNSET
    timezone: Annotated[str, _ZONE] | UnsetType | None = UNSET

    def data(self, where: str = "") -> SubscriberData:
        """Return what is to be different about the subscriber; `where` is the path of this in the request."""
        given = (self.first_name, self.last_name, self.phone, self.locale, self.timezone)
        profile = zip(PROFILE, given, strict=True)
        changed = {name: value for name, value in profile if not isinstance(value, UnsetType)}
        return SubscriberData(self.email, changed, where)


class SubscriberBody(SubscriberChange, frozen=True, kw_only=True):
    """A subscriber who is to be made, or changed."""

    user_id: Annotated[str, text("The name by which your own servers know the user.", most=LONGEST_NAME)]


class SubscriberDataView(TypedDict):
    """What is known of a subscriber."""

    firstName: Annotated[str | None, note("First name.")]
    lastName: Annotated[str | None, note("Last name.")]
    email: Annotated[str | None, note("Email address.")]
    phone: Annotated[str | None, note("Telephone number.")]
    locale: Annotated[str | None, note("Language (BCP 47).")]
    timezone: Annotated[str | None, note("Time zone (IANA); null: UTC.")]


class SubscriberView(SubscriberDataView):
    """A user of a tenant."""

    id: Id
    userId: Annotated[str, note("The name by which your own servers know the user.")]
    createdAt: Annotated[Time, note("When they were made here.")]


class SubscribersView(TypedDict):
    """Users of a tenant."""

    subscribers: Annotated[list[SubscriberView], note("The subscribers, the oldest first.")]
    nextCursor: Annotated[Id | None, note("`cursor` of the next page; null: this is the last one.")]


class ErasedView(TypedDict):
    """What was removed with a subscriber."""

    devices: Annotated[int, note("Devices, with what waited for them.")]
    inboxMessages: Annotated[int, note("Messages in the inbox. Of a long one they go within moments.")]
    preferences: Annotated[int, note("Channels and categories that the user did not want.")]


@dataclass(frozen=True)
class Subscribers:
    """`wake` has workers look for what is to be done."""

    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]

    @describes("List the subscribers of a tenant", query=PageQuery, gives=SubscribersView)
    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        query = read_query(PageQuery, request)
        page = await subscribers.list_subscribers_after(
            self.db, caller.tenant_id, after=query.place or "", limit=query.limit
        )
        shown = [show_subscriber(user) for user in page.subscribers]
        return show(SubscribersView(subscribers=shown, nextCursor=shown[-1]["id"] if page.more else None))

    @describes(
        "Make a subscriber, or change one",
        detail="Who is there already keeps what is left out. A tenant that is named for the first time is made.",
        takes=SubscriberBody,
        gives=SubscriberView,
        errors=("email_taken", "subscriber_admin"),
    )
    async def put(self, request: web.Request, caller: Caller) -> web.Response:
        body, now = read(SubscriberBody, await read_json(request)), self.clock()
        caller = await settle(self.db, caller, now=now, random=self.random)
        user = await subscribers.put_subscriber(
            self.db, caller.tenant_id, body.user_id, body.data(), now=now, random=self.random
        )
        return show(show_subscriber(user))

    @describes("Show a subscriber", gives=SubscriberView, errors=("user_not_found",))
    async def get(self, request: web.Request, caller: Caller) -> web.Response:
        user = await subscribers.get_subscriber(self.db, caller.tenant_id, _user(request))
        return show(show_subscriber(user))

    @describes(
        "Change a subscriber",
        takes=SubscriberChange,
        gives=SubscriberView,
        errors=("user_not_found", "email_taken", "subscriber_admin"),
    )
    async def change(self, request: web.Request, caller: Caller) -> web.Response:
        body = read(SubscriberChange, await read_json(request))
        user = await subscribers.change_subscriber(self.db, caller.tenant_id, _user(request), body.data())
        return show(show_subscriber(user))

    @describes(
        "Delete a subscriber",
        detail="With their devices, inbox, preferences, subscriptions, sessions and tokens, and the buckets that are theirs. The name is"
        " free again at once. What they sent to others stays.",
        gives=ErasedView,
        errors=("user_not_found", "subscriber_admin"),
    )
    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        erased = await subscribers.delete_subscriber(
            self.db,
            caller.tenant_id,
            _user(request),
            now=self.clock(),
            random=self.random,
            wake=self.wake,
        )
        return show(show_erased(erased))


def show_subscriber(user: User) -> SubscriberView:
    return SubscriberView(
        id=user.id,
        userId=name_of(user),
        **show_data(user),
        createdAt=show_time(user.created_at),
    )


def show_data(user: User) -> SubscriberDataView:
    profile = user.profile
    return SubscriberDataView(
        firstName=profile.get("firstName"),
        lastName=profile.get("lastName"),
        email=user.email,
        phone=profile.get("phone"),
        locale=profile.get("locale"),
        timezone=profile.get("timezone"),
    )


def show_erased(erased: Erased) -> ErasedView:
    return ErasedView(
        devices=erased.devices, inboxMessages=erased.inbox_items, preferences=erased.preferences
    )


def name_of(user: User) -> str:
    """Return the name by which a tenant's own servers know a user."""
    return user.external_id or user.id


def _user(request: web.Request) -> str:
    return request.match_info["user"]
