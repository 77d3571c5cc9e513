"""Who gets a notification: by organization, access to the document, context, notifyAll, verifyUserPermissions and self, row by row.

Every row is sent over HTTP, in one organization for all of them, and compared with inboxes and with what goes to phones.
"""

from typing import Any

from tests.harness.acting import give_phones
from tests.server.dialects.velt.adding import Acme

ORGANIZATION, DOCUMENT = "acme", "plan"
BOARDS = {"board": ["sales", "costs"]}
ACCESS: dict[str, dict[str, Any] | None] = {  # to the document, of who is on its list
    "ann": {**BOARDS, "entity": 5},  # who acts: only that keeps her from getting it
    "full": {**BOARDS, "entity": 5},
    "part": {"board": "sales", "entity": 5},
    "half": BOARDS,
    "bare": None,
    "kim": {**BOARDS, "entity": 5},  # whom no row names
}
CONTEXTS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "value": {"entity": "5"},
    "two": {"board": "costs", "entity": 5},
    "list": BOARDS,
    "secret": {"board": ["sales", "secrets"]},
}
NOTIFY_ALL = {"default": {}, "true": {"notifyAll": True}, "false": {"notifyAll": False}}
NAMED = {"listed": ["full", "part", "half", "bare"], "others": ["off", "new"]}
# off is of the organization and on the list of another document only, new is of another organization only: named, they are made
# here for as long as the row lasts. self: whether notifyUsers names ann as well, who acts.
TABLE = """
context verify notifyAll named self | receivers
none    no   default  listed  no   | full part half bare kim off
none    no   default  listed  yes  | full part half bare kim off
none    no   default  others  no   | full part half bare kim off new
none    no   default  others  yes  | full part half bare kim off new
none    no   true     listed  no   | full part half bare kim off
none    no   true     listed  yes  | full part half bare kim off
none    no   true     others  no   | full part half bare kim off new
none    no   true     others  yes  | full part half bare kim off new
none    no   false    listed  no   | full part half bare
none    no   false    listed  yes  | full part half bare
none    no   false    others  no   | off new
none    no   false    others  yes  | off new
none    yes  default  listed  no   | full part half bare kim
none    yes  default  listed  yes  | full part half bare kim
none    yes  default  others  no   | full part half bare kim
none    yes  default  others  yes  | full part half bare kim
none    yes  true     listed  no   | full part half bare kim
none    yes  true     listed  yes  | full part half bare kim
none    yes  true     others  no   | full part half bare kim
none    yes  true     others  yes  | full part half bare kim
none    yes  false    listed  no   | full part half bare
none    yes  false    listed  yes  | full part half bare
none    yes  false    others  no   | nobody
none    yes  false    others  yes  | nobody
value   no   default  listed  no   | full part kim
value   no   default  listed  yes  | full part kim
value   no   default  others  no   | full part kim
value   no   default  others  yes  | full part kim
value   no   true     listed  no   | full part kim
value   no   true     listed  yes  | full part kim
value   no   true     others  no   | full part kim
value   no   true     others  yes  | full part kim
value   no   false    listed  no   | full part
value   no   false    listed  yes  | full part
value   no   false    others  no   | nobody
value   no   false    others  yes  | nobody
value   yes  default  listed  no   | full part kim
value   yes  default  listed  yes  | full part kim
value   yes  default  others  no   | full part kim
value   yes  default  others  yes  | full part kim
value   yes  true     listed  no   | full part kim
value   yes  true     listed  yes  | full part kim
value   yes  true     others  no   | full part kim
value   yes  true     others  yes  | full part kim
value   yes  false    listed  no   | full part
value   yes  false    listed  yes  | full part
value   yes  false    others  no   | nobody
value   yes  false    others  yes  | nobody
two     no   default  listed  no   | full kim
two     no   default  listed  yes  | full kim
two     no   default  others  no   | full kim
two     no   default  others  yes  | full kim
two     no   true     listed  no   | full kim
two     no   true     listed  yes  | full kim
two     no   true     others  no   | full kim
two     no   true     others  yes  | full kim
two     no   false    listed  no   | full
two     no   false    listed  yes  | full
two     no   false    others  no   | nobody
two     no   false    others  yes  | nobody
two     yes  default  listed  no   | full kim
two     yes  default  listed  yes  | full kim
two     yes  default  others  no   | full kim
two     yes  default  others  yes  | full kim
two     yes  true     listed  no   | full kim
two     yes  true     listed  yes  | full kim
two     yes  true     others  no   | full kim
two     yes  true     others  yes  | full kim
two     yes  false    listed  no   | full
two     yes  false    listed  yes  | full
two     yes  false    others  no   | nobody
two     yes  false    others  yes  | nobody
list    no   default  listed  no   | full half kim
list    no   default  listed  yes  | full half kim
list    no   default  others  no   | full half kim
list    no   default  others  yes  | full half kim
list    no   true     listed  no   | full half kim
list    no   true     listed  yes  | full half kim
list    no   true     others  no   | full half kim
list    no   true     others  yes  | full half kim
list    no   false    listed  no   | full half
list    no   false    listed  yes  | full half
list    no   false    others  no   | nobody
list    no   false    others  yes  | nobody
list    yes  default  listed  no   | full half kim
list    yes  default  listed  yes  | full half kim
list    yes  default  others  no   | full half kim
list    yes  default  others  yes  | full half kim
list    yes  true     listed  no   | full half kim
list    yes  true     listed  yes  | full half kim
list    yes  true     others  no   | full half kim
list    yes  true     others  yes  | full half kim
list    yes  false    listed  no   | full half
list    yes  false    listed  yes  | full half
list    yes  false    others  no   | nobody
list    yes  false    others  yes  | nobody
secret  no   default  listed  no   | nobody
secret  no   default  listed  yes  | nobody
secret  no   default  others  no   | nobody
secret  no   default  others  yes  | nobody
secret  no   true     listed  no   | nobody
secret  no   true     listed  yes  | nobody
secret  no   true     others  no   | nobody
secret  no   true     others  yes  | nobody
secret  no   false    listed  no   | nobody
secret  no   false    listed  yes  | nobody
secret  no   false    others  no   | nobody
secret  no   false    others  yes  | nobody
secret  yes  default  listed  no   | nobody
secret  yes  default  listed  yes  | nobody
secret  yes  default  others  no   | nobody
secret  yes  default  others  yes  | nobody
secret  yes  true     listed  no   | nobody
secret  yes  true     listed  yes  | nobody
secret  yes  true     others  no   | nobody
secret  yes  true     others  yes  | nobody
secret  yes  false    listed  no   | nobody
secret  yes  false    listed  yes  | nobody
secret  yes  false    others  no   | nobody
secret  yes  false    others  yes  | nobody
"""


async def test_each_row_reaches_whom_it_says_and_nobody_else(acme: Acme) -> None:
    await move_in(acme)
    rows = [line for line in TABLE.strip().splitlines()[1:] if line]
    assert len(rows) == len({row.partition("|")[0] for row in rows}) == 120
    wrong = {}
    for row in rows:
        given, _, said = row.partition("|")
        expected = [] if said.strip() == "nobody" else said.split()
        message = await send(acme, *given.split())
        found = await receivers(acme, message)
        if found != (
            sorted(expected),
            sorted({*expected} - {"new"}),
        ):  # who has come just now has no phone yet
            wrong[row] = found
        await acme.velt.said(
            "organizations/users/remove", {"organizationId": ORGANIZATION, "users": [{"userId": "new"}]}
        )
    assert wrong == {}


async def move_in(acme: Acme) -> None:
    """Have the people come who the table is about, each with a phone, and give them access."""
    for organization in (ORGANIZATION, "other"):
        await acme.velt.said("organizations/add", {"organizationId": organization})
        await acme.velt.said("documents/add", {"organizationId": organization, "documentId": DOCUMENT})
    await acme.velt.said("documents/add", {"organizationId": ORGANIZATION, "documentId": "another"})
    users = [{"userId": name} for name in (*ACCESS, "off")]
    await acme.velt.said("organizations/users/add", {"organizationId": ORGANIZATION, "users": users})
    for name, access in ACCESS.items():
        await let(acme, name, access)
    await let(acme, "off", {**BOARDS, "entity": 5}, documentId="another")
    for name in ("new", "kim"):
        await let(acme, name, {**BOARDS, "entity": 5}, organizationId="other")
    for organization, names in ((ORGANIZATION, (*ACCESS, "off")), ("other", ("new", "kim"))):
        for name in names:
            house = acme.house
            await give_phones(house.pieces.db, organization, name, 1, now=house.clock(), random=house.random)


async def let(acme: Acme, name: str, access: dict[str, Any] | None, **where: str) -> None:
    given: dict[str, Any] = {"organizationId": ORGANIZATION, "documentId": DOCUMENT, **where}
    given["users"] = [{"userId": name}]
    await acme.velt.said("documents/access/add", given if access is None else {**given, "access": access})


async def send(acme: Acme, context: str, verify: str, notify_all: str, named: str, myself: str) -> str:
    """Add what a row says; return the message's id."""
    names = [*NAMED[named], *(["ann"] if myself == "yes" else [])]
    access = CONTEXTS[context]
    given = {
        "organizationId": ORGANIZATION,
        "documentId": DOCUMENT,
        "actionUser": {"userId": "ann"},
        "verifyUserPermissions": verify == "yes",
        "displayHeadlineMessageTemplate": "{actionUser} has written",
        "displayBodyMessage": "Have a look",
        "notifyUsers": [{"userId": name} for name in names],
        **NOTIFY_ALL[notify_all],
        **({} if access is None else {"context": {"access": access}}),
    }
    acme.house.clock.advance(1)
    await acme.velt.said("notifications/add", given)
    return str((await acme.rows("SELECT id FROM messages ORDER BY id DESC LIMIT 1"))[0]["id"])


async def receivers(acme: Acme, message: str) -> tuple[list[str], list[str]]:
    """Return who has a message in the inbox, and to whose phones it goes; who is of another organization is named with it."""
    found = []
    for table in ("inbox_items", "deliveries"):
        rows = await acme.rows(
            f"SELECT u.external_id, t.name FROM {table} i JOIN users u ON u.id = i.user_id"  # noqa: S608 - our names
            " JOIN tenants t ON t.id = u.tenant_id WHERE i.message_id = $1"
            + (" AND i.device_id IS NOT NULL AND i.state = 'queued'" if table == "deliveries" else ""),
            message,
        )
        found.append(
            sorted(
                row["external_id"] if row["name"] == ORGANIZATION else f"{row['name']}/{row['external_id']}"
                for row in rows
            )
        )
    return found[0], found[1]
