"""What a device fetches, as the API shows it (PROTOCOL.md, section 6)."""

import base64
from typing import Annotated, Any, NotRequired, TypedDict

from server.api.bodies import Id, note
from server.commands.fetch import Fetched, Named
from server.domain.delivery import State


class FrameView(TypedDict):
    """A message as it stands in a frame (PROTOCOL.md, section 2), for a device without a key."""

    id: Annotated[Id | None, note("The frame's id.")]
    sentAt: Annotated[int, note("When it was sent, in milliseconds since 1970.")]
    kind: Annotated[int, note("What it is: 1 a message, 2 retracts, 3 read, 4 updates.")]
    body: Annotated[Any, note("What it says.")]


class FetchedMessageView(TypedDict):
    """One message: sealed for the device, or what became of it, or as it is."""

    sequence: Annotated[int, note("Its number for this device, without gaps.")]
    envelope: NotRequired[Annotated[str, note("The sealed message, as base64url: what would be pushed.")]]
    messageId: NotRequired[Annotated[Id | None, note("Of one that is not there any more: its id.")]]
    state: NotRequired[Annotated[State, note("Of one that is not there any more: what became of it.")]]
    message: NotRequired[Annotated[FrameView, note("The message, for a device without a key.")]]


class FetchedView(TypedDict):
    """What a device has not got yet."""

    messages: Annotated[list[FetchedMessageView], note("In the order of their numbers.")]
    retracted: Annotated[list[Id], note("Messages that are to be removed.")]
    read: Annotated[list[Id], note("Messages that were read elsewhere.")]
    head: Annotated[int, note("The newest number.")]
    more: Annotated[bool, note("Whether there are more after these.")]


def show_fetched(fetched: Fetched) -> FetchedView:
    return FetchedView(
        messages=[_show_named(named) for named in fetched.messages],
        retracted=fetched.retracted,
        read=fetched.read,
        head=fetched.head,
        more=fetched.more,
    )


def _show_named(named: Named) -> FetchedMessageView:
    if named.envelope is not None:
        envelope = base64.urlsafe_b64encode(named.envelope).rstrip(b"=").decode()
        return FetchedMessageView(sequence=named.sequence, envelope=envelope)
    if named.state is not None:
        return FetchedMessageView(sequence=named.sequence, messageId=named.message_id, state=named.state)
    message = FrameView(id=named.message_id, sentAt=named.sent_at, kind=named.kind, body=named.content)
    return FetchedMessageView(sequence=named.sequence, message=message)
