"""Messages: what they say stays in them."""

from server.domain.bucket import ALL, Bucket
from server.domain.delivery import Channel
from server.domain.message import (
    NO_OPTIONS,
    Action,
    ActionType,
    Attachment,
    Category,
    DeliveryType,
    MediaType,
    Message,
    SendMessage,
    content_of,
)

CANARY = "CANARY-7f3a9c"
BUCKET = Bucket("b", "t", "u", "Alerts", None, None, None, None, None, 0, frozenset(ALL))


def test_a_message_does_not_show_what_it_says() -> None:
    """Where one is written into a log or an error by accident, its content is not."""
    command = SendMessage(
        bucket="b",
        title=CANARY,
        subtitle=CANARY,
        body=CANARY,
        delivery_type=DeliveryType.NORMAL,
        user_ids=None,
        topic=None,
        makes_users=False,
        everyone=False,
        exclude=(),
        within=None,
        subject=None,
        channels=(Channel.IN_APP, Channel.PUSH),
        category=Category.TRANSACTIONAL,
        data=None,
        deep_link=None,
        collapse_id=CANARY,
        group_id=CANARY,
        sound=None,
        locale=None,
        attachments=(Attachment(MediaType.IMAGE, CANARY, CANARY, None, save=False),),
        actions=(),
        tap_action=Action(ActionType.NAVIGATE, CANARY, CANARY, None, destructive=False),
        snoozes=(),
        postpones=(),
        tags=(CANARY,),
        options=NO_OPTIONS,
        send_at=None,
        ttl=1,
    )
    content = content_of(command, BUCKET, 0)
    message = Message(
        id="m",
        tenant_id="t",
        bucket_id="b",
        sender_id="u",
        delivery_type=DeliveryType.NORMAL,
        channels=command.channels,
        category=command.category,
        collapse_id=CANARY,
        content=content,
        options=NO_OPTIONS,
        created_at=0,
        scheduled_at=None,
        sent_at=0,
        expires_at=1,
        updated_at=None,
        retracted_at=None,
        handed_over=None,
        notifications=1,
    )
    assert CANARY in str(content)
    assert CANARY not in f"{command!r} {command.attachments!r} {message!r}"
