"""Changing notifications: `POST /v2/notifications/update`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import UNSET, UnsetType

from server.api.bodies import Body, items, note, own, take, text
from server.api.describe import describes
from server.api.reading import Fields
from server.commands.inbox import Marking
from server.commands.notifications import Whose
from server.commands.subjects import Revise, revise_all
from server.dialects.velt.fields import DocumentId, OrganizationId, UserBody, UserId
from server.dialects.velt.listing import MOST_IDS, NotificationId
from server.dialects.velt.results import VeltResultsAnswer, show_results
from server.dialects.velt.rpc import Call
from server.dialects.velt.texts import HEADLINE, VALUES, read_values
from server.domain import rules
from server.domain.errors import invalid
from server.domain.headline import LONGEST_TEMPLATE, Headline
from server.domain.message import DEEPEST_DATA, MOST_DATA, MOST_RECIPIENTS_NAMED
from server.domain.texts import ACTOR, LONGEST_BODY

UPDATED = "Notification updated successfully."
_PLACE = "data.notifications[{}]"
_Given = dict[str, Any] | UnsetType | None


def _read_values(fields: Fields, name: str) -> _Given:
    """Read what variables stand for, as it was given: it is stored so."""
    if not fields.among([name]):
        return UNSET
    read_values(fields, name)
    return fields.value(name)  # type: ignore[no-any-return] # an object, or a fault is noted


def _read_source_data(fields: Fields, name: str) -> _Given:
    if not fields.among([name]):
        return UNSET
    return fields.object_of(name, most=MOST_DATA, deepest=DEEPEST_DATA)


class VeltNotificationChange(Body, frozen=True, kw_only=True):
    """What is to be changed of a notification; what is left out stays as it is."""

    id: NotificationId
    display_headline_message_template: (
        Annotated[
            str,
            text(
                "The headline, with variables in curly brackets.",
                most=LONGEST_TEMPLATE,
                rule=rules.prose,
                examples=["{actionUser} has resolved the comment"],
            ),
        ]
        | UnsetType
    ) = UNSET
    display_headline_message_template_data: Annotated[
        _Given,
        own(
            _read_values,
            "What the variables stand for, all of them: texts, or users; null for none.",
            type=["object", "null"],
            additionalProperties={"type": ["string", "object", "null"]},
        ),
    ] = UNSET
    display_body_message: (
        Annotated[
            str,
            text(
                "What there is to say below the headline; null for nothing.",
                most=LONGEST_BODY,
                rule=rules.prose,
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
    notification_source_data: Annotated[
        _Given,
        own(
            _read_source_data,
            f"For the app: an object of at most {MOST_DATA} bytes; null for none.",
            type=["object", "null"],
        ),
    ] = UNSET
    read_by_user_ids: Annotated[
        tuple[UserId, ...],
        items(
            "Who has read it: it is cleared on their devices. Nobody becomes one who has not; who does not have it is passed over.",
            most=MOST_RECIPIENTS_NAMED,
        ),
    ] = ()


class VeltChangesBody(Body, frozen=True, kw_only=True):
    """What is to be changed of an organization's notifications."""

    organization_id: OrganizationId
    document_id: DocumentId | None = None
    notifications: Annotated[
        tuple[VeltNotificationChange, ...], items("The notifications, each once.", most=MOST_IDS, least=1)
    ]


class VeltUpdateBody(Body, frozen=True, kw_only=True):
    """What is to be changed."""

    data: Annotated[VeltChangesBody, note("Which notifications, and what of them.")]


@dataclass(frozen=True)
class Changing:
    marking: Marking

    @describes(
        "Change notifications",
        detail="A new text goes to every inbox and device that has the old one; headlines are put together anew. Each notification is"
        " changed as a whole or not at all, whatever becomes of the others.",
        takes=VeltUpdateBody,
        gives=VeltResultsAnswer,
        errors=("tenant_not_found",),
    )
    async def update(self, call: Call[VeltUpdateBody]) -> VeltResultsAnswer:
        body = call.body.data
        _check_once(body)
        whose = Whose(await call.organization(body.organization_id), None, body.document_id)
        commands = [command_of(change, index) for index, change in enumerate(body.notifications)]
        refusals = await revise_all(self.marking, whose, commands)
        names = [change.id for change in body.notifications]
        results = dict(zip(names, refusals, strict=True))
        return VeltResultsAnswer(result=show_results("Notifications updated successfully.", UPDATED, results))


def command_of(change: VeltNotificationChange, index: int) -> Revise:
    """Return what is asked for of one notification."""
    where = _PLACE.format(index)
    words = {"body": change.display_body_message, "data": change.notification_source_data}
    details = {
        HEADLINE: change.display_headline_message_template,
        VALUES: change.display_headline_message_template_data,
    }
    is_new = any(value is not UNSET for value in details.values())
    return Revise(
        name=change.id,
        words=_given(words),
        details=_given(details),
        headline=headline_at(where) if is_new else None,
        read_by=change.read_by_user_ids,
        where=where,
        readers_at=f"{where}.readByUserIds",
    )


def headline_at(where: str) -> Callable[[Mapping[str, Any]], Headline]:
    """Return what makes a headline of details as they are stored, for what stands at a place in a request."""

    def headline_of(details: Mapping[str, Any]) -> Headline:
        template = details.get(HEADLINE)
        if template is None:
            raise invalid(f"{where}.{HEADLINE}", "is missing", "send it with its data: none is stored")
        actor = details.get(ACTOR)
        acting = {} if actor is None else {ACTOR: take(UserBody, Fields(actor)).mention}
        return Headline(template, {**acting, **read_values(Fields(details), VALUES)})

    return headline_of


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to be changed; what is empty is none."""
    return {name: value or None for name, value in values.items() if value is not UNSET}


def _check_once(body: VeltChangesBody) -> None:
    """Refuse two changes of one notification: the answer has one result for it."""
    names: set[str] = set()
    for index, change in enumerate(body.notifications):
        if change.id in names:
            raise invalid(
                f"{_PLACE.format(index)}.id", "is there twice", "send all changes of it in one place"
            )
        names.add(change.id)
