"""`hushpost send`: one message from a terminal or a script."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from mimetypes import guess_type
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from server.cli.client import DEFAULT_URL, Api, UrlOption, run
from server.cli.terminal import USAGE, CommandError, JsonOption, result, result_json


def send(
    text: Annotated[
        str | None, typer.Argument(help="What it says; left out or -, it is read from standard input.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="The title; the bucket's or topic's name where it is left out.")
    ] = None,
    subtitle: Annotated[str | None, typer.Option()] = None,
    bucket: Annotated[
        str | None,
        typer.Option(help="The bucket's name or id; `default` where neither it nor a topic is given."),
    ] = None,
    topic: Annotated[
        str | None, typer.Option(metavar="KEY", help="To a topic's subscribers; who manages them may.")
    ] = None,
    delivery: Annotated[str, typer.Option(help="NORMAL, SILENT, CRITICAL or NO_PUSH.")] = "NORMAL",
    tap: Annotated[str | None, typer.Option(metavar="URL", help="What a tap opens.")] = None,
    image: Annotated[
        str | None, typer.Option(metavar="URL", help="A picture to show, where phones find it.")
    ] = None,
    attach: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            readable=True,
            help="A file to send with it; may be given several times.",
        ),
    ] = None,
    sound: Annotated[str | None, typer.Option(help="The sound to play, by its name.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be given several times.")] = None,
    user: Annotated[
        list[str] | None, typer.Option(help="Only to this member; may be given several times.")
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            help="IN_APP, PUSH, EMAIL, SMS or CHAT; may be given several times. Else the first two."
        ),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(help="SYSTEM, TRANSACTIONAL, PRODUCT or PROMOTIONAL. Else TRANSACTIONAL."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="When to send it: 2030-01-31T12:00:00Z, or without Z and with --timezone."
        ),
    ] = None,
    timezone: Annotated[str | None, typer.Option(metavar="NAME", help="Such as Europe/Berlin.")] = None,
    delay: Annotated[int | None, typer.Option(metavar="SECONDS", help="Send it after so long.")] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Sent again with the same key within a day, it is still one message."),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    *,
    as_json: JsonOption = False,
) -> None:
    """Send a message and print its id.

    HUSHPOST_URL says where the server is, HUSHPOST_TOKEN holds a token with the scope messages:create.
    """
    if bucket is None and topic is None:
        bucket = "default"
    body = {
        "body": _text(text),
        "subtitle": subtitle,
        "bucketId": bucket,
        "topicKey": topic,
        "deliveryType": delivery.upper(),
        "tapUrl": tap,
        "imageUrl": image,
        "sound": sound,
        "tags": tag or None,
        "userIds": user or None,
        "channels": [name.upper() for name in channel or ()] or None,
        "category": category and category.upper(),
        "scheduledSendAt": at,
        "timezone": timezone,
        "delaySeconds": delay,
    }
    headers = {} if key is None else {"Idempotency-Key": key}

    async def work(api: Api) -> Any:
        titled = _set({**body, "title": title or topic or await _name(api, bucket or "")})
        with ExitStack() as files:
            return await api.call("POST", "messages", _sent_as(titled, attach or (), files), headers)

    message = run(url, work)
    if as_json:
        result_json(message)
    else:
        result(message["id"])


def _sent_as(body: Mapping[str, Any], attach: Sequence[Path], files: ExitStack) -> Any:
    """JSON, or a form where there are files, which are open until `files` is closed."""
    if not attach:
        return body
    from aiohttp import FormData  # noqa: PLC0415 - only a server's call needs it

    form = FormData(quote_fields=False)  # names as they are, as RFC 7578 has them
    for name, value in body.items():
        form.add_field(name, value if isinstance(value, str) else json.dumps(value))
    for path in attach:
        kind = guess_type(path.name)[0] or "application/octet-stream"
        content = files.enter_context(path.open("rb"))
        form.add_field("attachments", content, filename=path.name, content_type=kind)
    return form


def _text(text: str | None) -> str:
    if text is not None and text != "-":
        return text
    if text is None and sys.stdin.isatty():
        raise CommandError('say what to send: hushpost send "Backup finished"', code=USAGE)
    try:
        found = sys.stdin.buffer.read().decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise CommandError("standard input is not UTF-8 text", code=USAGE) from None
    if not found:
        raise CommandError("standard input is empty: there is nothing to send", code=USAGE)
    return found


async def _name(api: Api, bucket: str) -> str:
    """The bucket's name. An id has to be looked up, which a token that can only send may not do."""
    try:
        UUID(bucket)
    except ValueError:
        return bucket
    try:
        return str((await api.call("GET", f"buckets/{bucket}"))["name"])
    except CommandError as error:
        raise CommandError(
            f"the bucket's name cannot be looked up ({error.sentences[0]}); say --title", code=error.code
        ) from None


def _set(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
