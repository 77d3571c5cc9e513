"""Subscribers: made, changed, shown, listed and deleted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypedDict

from server.api.bodies import Body, Time, note
from server.api.describe import describes
from server.api.subscribers import (
    ErasedView,
    SubscriberChange,
    SubscriberDataView,
    name_of,
    show_data,
    show_erased,
)
from server.commands import subscribers
from server.dialects.socayo.fields import PageBody, PageView, UserName, show_page
from server.dialects.socayo.rpc import Call
from server.domain.account import User
from server.domain.ports import Database, Random
from server.domain.times import show_time

_WHERE = "subscriberData."
_DATA = note("What is known of the subscriber; what is left out stays as it is, null clears.")


class NamedSubscriberBody(Body, frozen=True, kw_only=True):
    """A subscriber."""

    user_id: UserName


class CreateSubscriberBody(NamedSubscriberBody, frozen=True, kw_only=True):
    """A subscriber who is to be made, or changed."""

    subscriber_data: Annotated[SubscriberChange, _DATA] | None = None


class UpdateSubscriberBody(NamedSubscriberBody, frozen=True, kw_only=True):
    """What is to be different about a subscriber."""

    subscriber_data: Annotated[SubscriberChange, _DATA]


class SocayoSubscriberView(TypedDict):
    """A subscriber."""

    userId: UserName
    subscriberData: Annotated[SubscriberDataView, note("What is known of the subscriber.")]
    createdAt: Annotated[Time, note("When they were made here.")]


class SocayoSubscribersView(PageView):
    """A page of the subscribers."""

    subscribers: Annotated[list[SocayoSubscriberView], note("The subscribers, the oldest first.")]


class DeletedSubscriberView(TypedDict):
    """A subscriber who is no more."""

    deleted: Annotated[bool, note("That it is so.")]
    removed: Annotated[ErasedView, note("What went with them.")]


@dataclass(frozen=True)
class SocayoSubscribers:
    """`wake` has workers look for what is to be done."""

    db: Database
    random: Random
    wake: Callable[[], None]

    @describes(
        "Make a subscriber, or change one",
        detail="Who is there already keeps what is left out.",
        takes=CreateSubscriberBody,
        gives=SocayoSubscriberView,
        errors=("email_taken", "subscriber_admin"),
    )
    async def create(self, call: Call[CreateSubscriberBody]) -> SocayoSubscriberView:
        body = call.body
        user = await subscribers.put_subscriber(
            self.db,
            call.caller.tenant_id,
            body.user_id,
            (body.subscriber_data or SubscriberChange()).data(_WHERE),
            now=call.now,
            random=self.random,
        )
        return _show(user)

    @describes(
        "Show a subscriber",
        takes=NamedSubscriberBody,
        gives=SocayoSubscriberView,
        errors=("user_not_found",),
    )
    async def get(self, call: Call[NamedSubscriberBody]) -> SocayoSubscriberView:
        return _show(await subscribers.get_subscriber(self.db, call.caller.tenant_id, call.body.user_id))

    @describes(
        "Change a subscriber",
        takes=UpdateSubscriberBody,
        gives=SocayoSubscriberView,
        errors=("user_not_found", "email_taken", "subscriber_admin"),
    )
    async def update(self, call: Call[UpdateSubscriberBody]) -> SocayoSubscriberView:
        body = call.body
        user = await subscribers.change_subscriber(
            self.db, call.caller.tenant_id, body.user_id, body.subscriber_data.data(_WHERE)
        )
        return _show(user)

    @describes(
        "Delete a subscriber",
        detail="With their devices, inbox, preferences, subscriptions, sessions and tokens, and the buckets that are theirs. The name is"
        " free again at once. What they sent to others stays.",
        takes=NamedSubscriberBody,
        gives=DeletedSubscriberView,
        errors=("user_not_found", "subscriber_admin"),
    )
    async def delete(self, call: Call[NamedSubscriberBody]) -> DeletedSubscriberView:
        erased = await subscribers.delete_subscriber(
            self.db,
            call.caller.tenant_id,
            call.body.user_id,
            now=call.now,
            random=self.random,
            wake=self.wake,
        )
        return DeletedSubscriberView(deleted=True, removed=show_erased(erased))

    @describes(
        "List the subscribers",
        detail="In the order in which they were made: who is made meanwhile comes last.",
        takes=PageBody,
        gives=SocayoSubscribersView,
    )
    async def list(self, call: Call[PageBody]) -> SocayoSubscribersView:
        body = call.body
        page = await subscribers.list_subscribers(
            self.db, call.caller.tenant_id, offset=body.offset, limit=body.page_size
        )
        return SocayoSubscribersView(
            subscribers=[_show(user) for user in page.rows], **show_page(body, page.total, more=page.more)
        )


def _show(user: User) -> SocayoSubscriberView:
    return SocayoSubscriberView(
        userId=name_of(user), subscriberData=show_data(user), createdAt=show_time(user.created_at)
    )
