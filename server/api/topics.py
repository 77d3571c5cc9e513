"""`/api/v1/topics`: a tenant's named audiences, and who is subscribed to each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypedDict

from aiohttp import web

from server.api.answers import nothing, show
from server.api.bodies import Body, Id, Time, items, note, read, read_query, text, whole
from server.api.describe import describes
from server.api.pages import LONGEST_PAGE, PAGE, PageQuery
from server.api.reading import read_json
from server.commands import topics
from server.commands.acting import settle
from server.domain.account import LONGEST_NAME, Caller
from server.domain.bucket import Bucket
from server.domain.errors import invalid
from server.domain.ports import Clock, Database, Random
from server.domain.rules import label
from server.domain.times import show_time
from server.domain.topic import Subscription, Topic

MOST_AT_ONCE = 100
"""How many users one request subscribes, or takes out, at most."""


class TopicBody(Body, frozen=True, kw_only=True):
    """A topic that is to be made."""

    key: Annotated[str, text("What it is called, in its tenant.", most=LONGEST_NAME)]


class SubscriptionsBody(Body, frozen=True, kw_only=True):
    """Users who are to be subscribed."""

    user_ids: Annotated[
        tuple[Annotated[str, text("A user's external id, id or username.", most=LONGEST_NAME)], ...],
        items("Whom; a name that nobody has makes a user.", least=1, most=MOST_AT_ONCE),
    ]


class TopicQuery(Body, frozen=True, kw_only=True):
    """Which page of the topics."""

    limit: Annotated[int, whole("How many at most.", least=1, most=LONGEST_PAGE)] = PAGE
    cursor: Annotated[str, text("The `nextCursor` of the page before.", most=LONGEST_NAME)] | None = None


class TopicView(TypedDict):
    """A topic."""

    key: Annotated[str, note("What it is called, in its tenant.")]
    id: Annotated[Id, note("The id of the bucket that it is.")]
    createdAt: Time


class TopicsView(TypedDict):
    """The topics of a tenant."""

    topics: Annotated[list[TopicView], note("The topics, by key.")]
    nextCursor: Annotated[str | None, note("`cursor` of the next page; null: this is the last one.")]


class SubscriptionView(TypedDict):
    """Who is subscribed to a topic."""

    id: Annotated[Id, note("The user's id.")]
    userId: Annotated[str, note("The name by which your own servers know the user.")]
    subscribedAt: Annotated[Time, note("Since when.")]


class SubscriptionsView(TypedDict):
    """Who is subscribed to a topic."""

    subscribers: Annotated[list[SubscriptionView], note("The users, by id.")]
    nextCursor: Annotated[Id | None, note("`cursor` of the next page; null: this is the last one.")]


class AddedView(TypedDict):
    """What came of subscribing users."""

    added: Annotated[int, note("For how many users that is new.")]


@dataclass(frozen=True)
class Topics:
    """`wake` has workers look for what is to be done."""

    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]

    @describes("List the topics of a tenant", query=TopicQuery, gives=TopicsView)
    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        query = read_query(TopicQuery, request)
        page = await topics.list_topics(
            self.db, caller.tenant_id, after=query.cursor or "", limit=query.limit
        )
        shown = [_show_topic(topic) for topic in page.topics]
        return show(TopicsView(topics=shown, nextCursor=shown[-1]["key"] if page.more else None))

    @describes(
        "Create a topic",
        detail="A tenant that is named for the first time is made.",
        takes=TopicBody,
        gives=TopicView,
        status=201,
        errors=("topic_exists",),
    )
    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        body, now = read(TopicBody, await read_json(request)), self.clock()
        caller = await settle(self.db, caller, now=now, random=self.random)
        topic = await topics.create_topic(self.db, caller.tenant_id, body.key, now=now, random=self.random)
        return show(_show_bucket(topic), status=201)

    @describes("Show a topic", gives=TopicView, errors=("topic_not_found",))
    async def get(self, request: web.Request, caller: Caller) -> web.Response:
        return show(_show_bucket(await topics.get_topic(self.db, caller.tenant_id, _key(request))))

    @describes(
        "Delete a topic",
        detail="With every subscription to it; its key is free. What was sent to it stays in inboxes.",
        status=204,
        errors=("topic_not_found",),
    )
    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        await topics.delete_topic(
            self.db, caller.tenant_id, _key(request), now=self.clock(), random=self.random, wake=self.wake
        )
        return nothing()

    @describes(
        "List who is subscribed to a topic",
        query=PageQuery,
        gives=SubscriptionsView,
        errors=("topic_not_found",),
    )
    async def subscribers(self, request: web.Request, caller: Caller) -> web.Response:
        query = read_query(PageQuery, request)
        page = await topics.list_subscriptions_after(
            self.db, caller.tenant_id, _key(request), after=query.place or "", limit=query.limit
        )
        shown = [_show_subscription(one) for one in page.subscriptions]
        return show(SubscriptionsView(subscribers=shown, nextCursor=shown[-1]["id"] if page.more else None))

    @describes(
        "Subscribe users to a topic",
        detail="All or none. A topic, and users, that are not there are made; who is subscribed stays so.",
        takes=SubscriptionsBody,
        gives=AddedView,
    )
    async def subscribe(self, request: web.Request, caller: Caller) -> web.Response:
        key, body, now = _new_key(request), read(SubscriptionsBody, await read_json(request)), self.clock()
        caller = await settle(self.db, caller, now=now, random=self.random)
        added = await topics.subscribe(
            self.db, caller.tenant_id, key, body.user_ids, now=now, random=self.random
        )
        return show(AddedView(added=added))

    @describes(
        "End a user's subscription to a topic",
        status=204,
        errors=("topic_not_found", "user_not_found", "subscription_not_found"),
    )
    async def unsubscribe(self, request: web.Request, caller: Caller) -> web.Response:
        await topics.end_subscription(self.db, caller.tenant_id, _key(request), request.match_info["user"])
        return nothing()


def _show_topic(topic: Topic) -> TopicView:
    return TopicView(key=topic.key, id=topic.id, createdAt=show_time(topic.created_at))


def _show_bucket(bucket: Bucket) -> TopicView:
    return TopicView(key=bucket.topic_key or "", id=bucket.id, createdAt=show_time(bucket.created_at))


def _show_subscription(subscription: Subscription) -> SubscriptionView:
    return SubscriptionView(
        id=subscription.user_id,
        userId=subscription.name,
        subscribedAt=show_time(subscription.created_at),
    )


def _new_key(request: web.Request) -> str:
    """Return the key of a topic that there need not be; Invalid."""
    key = _key(request)
    wrong = label(key)
    if wrong is not None or len(key) > LONGEST_NAME:
        raise invalid("key", *(wrong or ("is too long", f"use at most {LONGEST_NAME} characters")))
    return key


def _key(request: web.Request) -> str:
    return request.match_info["key"]
