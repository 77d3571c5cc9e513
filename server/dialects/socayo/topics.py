"""Topics: created and deleted, subscribed to and listed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypedDict

from server.api.bodies import Body, Id, Time, items, note, text
from server.api.describe import describes
from server.api.topics import MOST_AT_ONCE
from server.commands import topics
from server.dialects.socayo.fields import PageBody, PageView, TopicKey, UserName, show_page
from server.dialects.socayo.rpc import Call
from server.domain.account import LONGEST_NAME
from server.domain.ports import Database, Random
from server.domain.times import show_time
from server.domain.topic import Subscription

_NAME = text("A user, by the name that your servers know.", most=LONGEST_NAME)


class SocayoTopicBody(Body, frozen=True, kw_only=True):
    """A topic."""

    topic_key: TopicKey


class TopicSubscribersBody(SocayoTopicBody, frozen=True, kw_only=True):
    """Who is to be subscribed to a topic, or no longer."""

    subscriber_ids: Annotated[
        tuple[Annotated[str, _NAME], ...],
        items("The users; who is named twice counts once.", least=1, most=MOST_AT_ONCE),
    ]


class TopicPageBody(PageBody, frozen=True, kw_only=True):
    """Which page of a topic's subscribers."""

    topic_key: TopicKey


class SubscriptionBody(SocayoTopicBody, frozen=True, kw_only=True):
    """Whether somebody is subscribed to a topic."""

    subscriber_id: UserName


class SocayoTopicView(TypedDict):
    """A topic."""

    topicKey: TopicKey
    topicId: Annotated[Id, note("The id of the bucket that it is in the native API.")]


class DeletedTopicView(TypedDict):
    """A topic that is no more."""

    deleted: Annotated[bool, note("That it is so.")]


class AddedSubscribersView(TypedDict):
    """What came of adding subscribers."""

    added: Annotated[int, note("How many of them were not subscribed before.")]


class RemovedSubscribersView(TypedDict):
    """What came of removing subscribers."""

    removed: Annotated[int, note("How many of them were subscribed.")]


class TopicSubscriberView(TypedDict):
    """Who is subscribed to a topic."""

    userId: UserName
    subscribedAt: Annotated[Time, note("Since when.")]


class TopicSubscribersView(PageView):
    """A page of a topic's subscribers."""

    subscribers: Annotated[
        list[TopicSubscriberView], note("The subscribers, in the order in which they came.")
    ]


class SubscribedView(TypedDict):
    """Whether somebody is subscribed."""

    subscribed: Annotated[bool, note("Whether messages to the topic reach them.")]


@dataclass(frozen=True)
class SocayoTopics:
    """`wake` has workers look for what is to be done."""

    db: Database
    random: Random
    wake: Callable[[], None]

    @describes("Create a topic", takes=SocayoTopicBody, gives=SocayoTopicView, errors=("topic_exists",))
    async def create(self, call: Call[SocayoTopicBody]) -> SocayoTopicView:
        topic = await topics.create_topic(
            self.db, call.caller.tenant_id, call.body.topic_key, now=call.now, random=self.random
        )
        return SocayoTopicView(topicKey=call.body.topic_key, topicId=topic.id)

    @describes(
        "Delete a topic",
        detail="With every subscription to it; its key is free. What was sent to it stays in inboxes.",
        takes=SocayoTopicBody,
        gives=DeletedTopicView,
        errors=("topic_not_found",),
    )
    async def delete(self, call: Call[SocayoTopicBody]) -> DeletedTopicView:
        await topics.delete_topic(
            self.db,
            call.caller.tenant_id,
            call.body.topic_key,
            now=call.now,
            random=self.random,
            wake=self.wake,
        )
        return DeletedTopicView(deleted=True)

    @describes(
        "Add subscribers to a topic",
        detail="All or none. A topic, and users, that are not there are made.",
        takes=TopicSubscribersBody,
        gives=AddedSubscribersView,
    )
    async def add(self, call: Call[TopicSubscribersBody]) -> AddedSubscribersView:
        body = call.body
        added = await topics.subscribe(
            self.db,
            call.caller.tenant_id,
            body.topic_key,
            body.subscriber_ids,
            now=call.now,
            random=self.random,
        )
        return AddedSubscribersView(added=added)

    @describes(
        "Remove subscribers from a topic",
        detail="All or none; who is not subscribed stays so.",
        takes=TopicSubscribersBody,
        gives=RemovedSubscribersView,
        errors=("topic_not_found", "user_not_found"),
    )
    async def remove(self, call: Call[TopicSubscribersBody]) -> RemovedSubscribersView:
        body = call.body
        removed = await topics.unsubscribe(
            self.db, call.caller.tenant_id, body.topic_key, body.subscriber_ids
        )
        return RemovedSubscribersView(removed=removed)

    @describes(
        "List the subscribers of a topic",
        detail="In the order in which they came: who comes meanwhile is last.",
        takes=TopicPageBody,
        gives=TopicSubscribersView,
        errors=("topic_not_found",),
    )
    async def list(self, call: Call[TopicPageBody]) -> TopicSubscribersView:
        body = call.body
        page = await topics.list_subscriptions(
            self.db, call.caller.tenant_id, body.topic_key, offset=body.offset, limit=body.page_size
        )
        return TopicSubscribersView(
            subscribers=[_show(one) for one in page.rows], **show_page(body, page.total, more=page.more)
        )

    @describes(
        "Say whether somebody is subscribed",
        takes=SubscriptionBody,
        gives=SubscribedView,
        errors=("topic_not_found", "user_not_found"),
    )
    async def check(self, call: Call[SubscriptionBody]) -> SubscribedView:
        body = call.body
        subscribed = await topics.is_subscribed(
            self.db, call.caller.tenant_id, body.topic_key, body.subscriber_id
        )
        return SubscribedView(subscribed=subscribed)


def _show(subscription: Subscription) -> TopicSubscriberView:
    return TopicSubscriberView(userId=subscription.name, subscribedAt=show_time(subscription.created_at))
