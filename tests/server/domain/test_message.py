"""Messages: what they say stays in them."""

from server.domain.bucket import ALL, Bucket
from server.domain.message import (
    NO_OPTIONS,
    Action,
    ActionType,
    Attachment,
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
        "m", "t", "b", "u", DeliveryType.NORMAL, CANARY, content, NO_OPTIONS, 0, None, 0, 1, None, None, 1
    )
    assert CANARY in str(content)
    assert CANARY not in f"{command!r} {command.attachments!r} {message!r}"
