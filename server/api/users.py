"""`/api/v1/users`: one's own account: who one is, the password, where one is signed in. And what an admin sets for others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypedDict

from aiohttp import web
from msgspec import UNSET, UnsetType

from server.api.address import Proxies, client_address
from server.api.answers import nothing, show
from server.api.bodies import Body, Id, Time, note, read, text
from server.api.describe import describes
from server.api.reading import read_json
from server.commands import sessions, users
from server.commands.passwords import Passwords
from server.commands.sessions import SignInLimits
from server.commands.users import ChangePassword, ChangeUser, SetUser
from server.domain import rules
from server.domain.account import (
    LONGEST_EMAIL,
    LONGEST_NAME,
    LONGEST_PASSWORD,
    PROFILE,
    SHORTEST_PASSWORD,
    Caller,
    Role,
    Session,
    User,
)
from server.domain.ports import Clock, Database
from server.domain.rules import Wrong
from server.domain.times import show_time

_LONGEST_PHONE = 40
_SHORTEST_USERNAME = 2


def anything(_text: str) -> Wrong | None:
    """Let any text pass: a password may hold any character."""
    return None


EMAIL = text("The email address; nobody else's.", most=LONGEST_EMAIL, rule=rules.email)
USERNAME = text(
    "The name that others see; nobody else's, whatever its case.",
    least=_SHORTEST_USERNAME,
    most=LONGEST_NAME,
    rule=rules.username,
)
NEW_PASSWORD = text(
    "A password: any characters.", least=SHORTEST_PASSWORD, most=LONGEST_PASSWORD, rule=anything
)
_FIRST_NAME = text("First name.", most=LONGEST_NAME)
_LAST_NAME = text("Last name.", most=LONGEST_NAME)
_PHONE = text("Telephone number.", most=_LONGEST_PHONE)
_LOCALE = text("Language, as a tag like en-GB (BCP 47).", most=LONGEST_NAME, rule=rules.language_tag)
_ZONE = text(
    "Time zone, like Europe/Berlin (IANA): quiet times are on its clock.", most=LONGEST_NAME, rule=rules.zone
)


class UserChange(Body, frozen=True, kw_only=True):
    """What is to be different about one's account; what is left out stays, null clears."""

    username: Annotated[str, USERNAME] | UnsetType = UNSET
    email: Annotated[str, EMAIL] | UnsetType = UNSET
    first_name: Annotated[str, _FIRST_NAME] | UnsetType | None = UNSET
    last_name: Annotated[str, _LAST_NAME] | UnsetType | None = UNSET
    phone: Annotated[str, _PHONE] | UnsetType | None = UNSET
    locale: Annotated[str, _LOCALE] | UnsetType | None = UNSET
    timezone: Annotated[str, _ZONE] | UnsetType | None = UNSET


class PasswordBody(Body, frozen=True, kw_only=True):
    """A new password, and proof that it is its owner who sets it."""

    current_password: Annotated[str, text("The password as it is.", most=LONGEST_PASSWORD, rule=anything)]
    new_password: Annotated[str, NEW_PASSWORD]


class UserSetting(Body, frozen=True, kw_only=True):
    """What an admin sets for a user; what is left out stays."""

    external_id: (
        Annotated[
            str, text("What another system calls this user; null: as this server does.", most=LONGEST_NAME)
        ]
        | UnsetType
        | None
    ) = UNSET
    role: Annotated[Role, note("Whether the user may operate the server.")] | UnsetType = UNSET


class UserView(TypedDict):
    """A user's account."""

    id: Id
    email: Annotated[str | None, note("The email address.")]
    username: Annotated[str | None, note("The name that others see.")]
    externalId: Annotated[str | None, note("What another system calls this user.")]
    role: Annotated[Role, note("An `admin` operates the server.")]
    firstName: Annotated[str | None, note("First name.")]
    lastName: Annotated[str | None, note("Last name.")]
    phone: Annotated[str | None, note("Telephone number.")]
    locale: Annotated[str | None, note("Language (BCP 47).")]
    timezone: Annotated[str | None, note("Time zone (IANA); null: UTC.")]
    createdAt: Time


class SessionView(TypedDict):
    """One sign-in."""

    id: Id
    current: Annotated[bool, note("Whether it is the one that asks.")]
    createdAt: Annotated[Time, note("When it began.")]
    refreshedAt: Annotated[Time, note("When it was last given new tokens.")]
    expiresAt: Annotated[Time, note("When it ends, unless it is given new tokens before.")]


class SessionsView(TypedDict):
    """One's sign-ins."""

    sessions: Annotated[list[SessionView], note("The newest first.")]


@dataclass(frozen=True)
class Users:
    db: Database
    clock: Clock
    passwords: Passwords
    sign_ins: SignInLimits
    proxies: Proxies

    @describes("Show one's account", gives=UserView)
    async def me(self, _request: web.Request, caller: Caller) -> web.Response:
        return show(show_user(caller.user))

    @describes(
        "Change one's account",
        takes=UserChange,
        gives=UserView,
        errors=("username_taken", "email_taken"),
    )
    async def change(self, request: web.Request, caller: Caller) -> web.Response:
        body = read(UserChange, await read_json(request))
        command = ChangeUser(body.username, body.email, _profile(body))
        return show(show_user(await users.change_user(self.db, caller.user.id, command)))

    @describes(
        "Change one's password",
        detail="All other sessions end. Attempts are limited as those to sign in are.",
        takes=PasswordBody,
        status=204,
        errors=("password_wrong", "limited", "unavailable"),
    )
    async def change_password(self, request: web.Request, caller: Caller) -> web.Response:
        body = read(PasswordBody, await read_json(request))
        command = ChangePassword(
            body.current_password, body.new_password, client_address(request, self.proxies)
        )
        await users.change_password(
            self.db,
            caller,
            command,
            passwords=self.passwords,
            limits=self.sign_ins,
            now=self.clock(),
        )
        return nothing()

    @describes("List where one is signed in", gives=SessionsView)
    async def sessions(self, _request: web.Request, caller: Caller) -> web.Response:
        found = await sessions.list_sessions(self.db, caller.user, self.clock())
        return show(SessionsView(sessions=[show_session(one, caller.session_id) for one in found]))

    @describes(
        "End a session",
        detail="Its tokens are worthless at once.",
        status=204,
        errors=("session_not_found",),
    )
    async def end_session(self, request: web.Request, caller: Caller) -> web.Response:
        await sessions.revoke(self.db, caller.user, request.match_info["id"].lower())
        return nothing()

    @describes(
        "Set a user's external id or role",
        takes=UserSetting,
        gives=UserView,
        errors=("user_not_found", "external_id_taken", "own_role"),
    )
    async def set(self, request: web.Request, caller: Caller) -> web.Response:
        body = read(UserSetting, await read_json(request))
        command = SetUser(request.match_info["id"].lower(), body.external_id, body.role)
        return show(show_user(await users.set_user(self.db, caller.user, command)))


def show_user(user: User) -> UserView:
    profile = user.profile
    return UserView(
        id=user.id,
        email=user.email,
        username=user.username,
        externalId=user.external_id,
        role=user.role,
        firstName=profile.get("firstName"),
        lastName=profile.get("lastName"),
        phone=profile.get("phone"),
        locale=profile.get("locale"),
        timezone=profile.get("timezone"),
        createdAt=show_time(user.created_at),
    )


def show_session(session: Session, current: str | None) -> SessionView:
    return SessionView(
        id=session.id,
        current=session.id == current,
        createdAt=show_time(session.created_at),
        refreshedAt=show_time(session.refreshed_at),
        expiresAt=show_time(session.expires_at),
    )


def _profile(body: UserChange) -> Mapping[str, str | None]:
    """Return what of the profile is to be different, None where it is cleared."""
    given = (body.first_name, body.last_name, body.phone, body.locale, body.timezone)
    return {
        name: value for name, value in zip(PROFILE, given, strict=True) if not isinstance(value, UnsetType)
    }
