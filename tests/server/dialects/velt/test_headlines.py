"""Headlines: variables in braces are put in once; somebody is shown by the best name there is."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from server.domain.account import Role, User
from server.domain.headline import Headline, shown_name, variables_of, wrong_headline
from server.domain.mention import Mention, full_name, profile_of
from tests.server.dialects.velt.adding import Acme

TEXTS = some.text(alphabet="{}ab \n", max_size=12)
NAMES = some.sampled_from(["a", "b", "ab", "a b"])
ANN = {"userId": "ann", "name": "Ann Archer", "email": "ann@example.com"}


def by_hand(template: str, values: dict[str, str]) -> str:
    """Render a template one character after the other: a variable is what stands between the last brace that opens and one that closes."""
    done, opened = "", -1
    for character in template:
        done += character
        if character == "{":
            opened = len(done) - 1
        elif character == "}" and opened >= 0:
            name = done[opened + 1 : -1]
            if name in values:
                return done[:opened] + values[name] + by_hand(template[len(done) :], values)
            opened = -1
    return done


def render(template: str, values: dict[str, str | Mention], **known: User) -> str:
    return Headline(template, values).render(known)


def user(name: str, email: str | None = None) -> User:
    return User("id", "tenant", "ann", None, email, Role.USER, profile_of(name), 1)


# Without a server


@given(TEXTS, some.dictionaries(NAMES, TEXTS))
def test_a_template_is_rendered_as_by_hand(template: str, values: dict[str, str]) -> None:
    assert render(template, dict(values)) == by_hand(template, values)


@given(some.text())
def test_a_template_without_values_stays_as_it_is_written(template: str) -> None:
    assert render(template, {}) == template


@given(some.dictionaries(some.text(string.ascii_letters, min_size=1), some.text(), min_size=1))
def test_what_is_put_in_is_never_looked_at_again(values: dict[str, str]) -> None:
    """Whatever it holds, also the names of variables in braces."""
    names = list(values)
    held = {name: f"{values[name]}{{{names[index - 1]}}}" for index, name in enumerate(names)}
    template = "".join(f"{{{name}}}" for name in names)
    assert variables_of(template) == names
    assert render(template, dict(held)) == "".join(held.values())


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{a}", "A"),
        ("{a}{a} {b}", "AA {b}"),
        ("{{a}}", "{A}"),
        ("{a{a}}", "{aA}"),
        ("{ a }", "{ a }"),
        ("{}", "{}"),
        ("{a", "{a"),
        ("a}", "a}"),
        ("{a.__class__}", "{a.__class__}"),
        ("{a!r:>10}", "{a!r:>10}"),
        ("%(a)s $a ${a}", "%(a)s $a $A"),
    ],
)
def test_a_variable_is_a_name_in_braces_and_nothing_else(template: str, shown: str) -> None:
    assert render(template, {"a": "A"}) == shown


@pytest.mark.parametrize(
    ("mention", "known", "shown"),
    [
        (Mention("ann", "Ann A.", "a@example.com"), user("Stored Name", "s@example.com"), "Ann A."),
        (Mention("ann", None, "a@example.com"), user("Stored Name", "s@example.com"), "Stored Name"),
        (Mention("ann", None, "a@example.com"), user("", "s@example.com"), "a@example.com"),
        (Mention("ann"), user("", "s@example.com"), "s@example.com"),
        (Mention("ann"), user(""), "ann"),
        (Mention("ann"), None, "ann"),
    ],
)
def test_somebody_is_shown_by_their_own_name_the_stored_one_the_address_or_the_id(
    mention: Mention, known: User | None, shown: str
) -> None:
    assert shown_name(mention, known) == shown


@given(some.text(string.ascii_letters + "  ", max_size=20))
def test_a_name_is_stored_in_two_parts_and_shown_whole(name: str) -> None:
    profile = profile_of(name)
    assert (full_name(profile) or "").split() == name.split()
    assert all(part == part.strip() != "" for part in profile.values())


@pytest.mark.parametrize(("text", "is_wrong"), [("x" * 2000, False), ("x" * 2001, True), (" \n", True)])
def test_a_headline_is_shown_that_has_something_in_it_and_is_not_too_long(
    text: str, *, is_wrong: bool
) -> None:
    assert (wrong_headline(text) is not None) == is_wrong


# Of the notifications that are added


async def shown(acme: Acme, template: str, **values: Any) -> str:
    """Return the title of a notification with this headline."""
    message = await acme.add(
        displayHeadlineMessageTemplate=template, displayHeadlineMessageTemplateData=values
    )
    return str(json.loads((await acme.message(message))["content"])["title"])


async def test_who_is_mentioned_is_shown_by_the_name_that_is_stored(acme: Acme) -> None:
    """By any of their names; that of the request goes before it, and nobody is changed by it."""
    await acme.add(actionUser=ANN, notifyUsers=[{"userId": "ben", "email": "ben@example.com"}])
    ann = (await acme.users())["ann"]["id"]
    assert await shown(acme, "{who}", who={"userId": "ann"}) == "Ann Archer"
    assert await shown(acme, "{who}", who={"userId": ann, "email": "x@example.com"}) == "Ann Archer"
    assert await shown(acme, "{who}", who={"userId": "ann", "name": "Ann, of Acme"}) == "Ann, of Acme"
    assert await shown(acme, "{who}", who={"userId": "ben"}) == "ben@example.com"
    assert await shown(acme, "{who}", who={"userId": "nobody"}) == "nobody"
    assert "nobody" not in await acme.users()


async def test_a_recipient_may_be_given_by_id(acme: Acme) -> None:
    """Who is not known is shown as given; any other text is just a text."""
    await acme.add(actionUser=ANN)
    assert await shown(acme, "{recipientUser}", recipientUser="ann") == "Ann Archer"
    assert await shown(acme, "{recipientUser}", recipientUser="eve") == "eve"
    assert await shown(acme, "{recipientUser}!", recipientUser=" two\nlines ") == " two\nlines !"
    assert await shown(acme, "{recipientUser}", recipientUser=ANN) == "Ann Archer"
    assert await shown(acme, "{actionUser} {other}", actionUser="ann", other="ann") == "ann ann"


async def test_who_acts_need_not_be_among_the_values(acme: Acme) -> None:
    message = await acme.add(actionUser=ANN)
    assert json.loads((await acme.message(message))["content"])["title"] == "Ann Archer has written"
    assert await shown(acme, "{actionUser}") == "Ann Archer"
    assert await shown(acme, "{actionUser}", actionUser={"userId": "ben", "name": "Ben"}) == "Ben"
    assert await shown(acme, "{actionUser}", actionUser=None) == "Ann Archer"


async def test_names_are_an_organizations_own(acme: Acme) -> None:
    await acme.add(organizationId="umbrella", actionUser=ANN, notifyUsers=[{**ANN, "userId": "zoe"}])
    assert await shown(acme, "{actionUser} {recipientUser}", recipientUser="zoe") == "ann zoe"


async def test_a_headline_stays_as_it_was_when_it_was_added(acme: Acme) -> None:
    """Whoever is called something else later."""
    message = await acme.add(actionUser=ANN)
    await acme.house.pieces.db.write(
        lambda tx: tx.run("UPDATE users SET profile = '{\"firstName\": \"Anna\"}' WHERE external_id = 'ann'")
    )
    assert json.loads((await acme.message(message))["content"])["title"] == "Ann Archer has written"
    assert await shown(acme, "{actionUser}") == "Anna"


async def test_a_name_with_braces_is_no_template(acme: Acme) -> None:
    mallory = {"userId": "mallory", "name": "{page} {recipientUser}"}
    assert await shown(acme, "{who}: {page}", who=mallory, page="{who}") == "{page} {recipientUser}: {who}"
