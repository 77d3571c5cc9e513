"""`hushpost register`, `login` and `tokens`: how somebody at a terminal gets a token. Nothing is stored.

The two sign in and print what a shell takes, `export HUSHPOST_…`, so that `eval "$(hushpost login)"` is enough. That token
ends after minutes; what is to last is made with `hushpost tokens new`.
"""

import shlex
import sys
from typing import Annotated, Any

import typer

from server.cli.client import DEFAULT_URL, Api, UrlOption, run
from server.cli.terminal import USAGE, CommandError, JsonOption, result, result_json, say

tokens = typer.Typer(
    no_args_is_help=True,
    help="Make, list, change, replace and delete access tokens, for scripts and servers.",
)

NameOption = Annotated[str | None, typer.Option(help="Asked for where it is left out.")]
_KEPT = ("name", "scopes", "expiresAt", "tenantId")  # of a token, in the one that takes its place
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `hushpost tokens list` shows it.")]
NEVER = "never"
StdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, for scripts.")
]


def register(
    email: NameOption = None,
    username: NameOption = None,
    code: Annotated[
        str | None, typer.Option(help="For the first account of a server elsewhere: its log shows it.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    *,
    password_stdin: StdinOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make an account and sign in; the first one is the admin. Use: eval "$(hushpost register)"."""
    body = {
        "email": email or _ask("Email"),
        "username": username or _ask("Username"),
        "password": _password(password_stdin, confirm=True),
    }
    if code is not None:
        body["code"] = code
    _signed_in(url, run(url, lambda api: api.call("POST", "auth/register", body), signed_in=False), as_json)


def login(
    name: Annotated[
        str | None, typer.Option("--email", "--username", help="Asked for where it is left out.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    *,
    password_stdin: StdinOption = False,
    as_json: JsonOption = False,
) -> None:
    """Sign in. Use: eval "$(hushpost login)"."""
    body = {"email": name or _ask("Email or username"), "password": _password(password_stdin, confirm=False)}
    _signed_in(url, run(url, lambda api: api.call("POST", "auth/login", body), signed_in=False), as_json)


@tokens.command()
def new(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="messages:create where none is given; may be given several times."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it ends, such as 2030-01-31T12:00:00Z.")
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(
            help="The one tenant that a token with admin or gateway is good for; every one where it is left out."
        ),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    *,
    as_json: JsonOption = False,
) -> None:
    """Make an access token and print it: this once, it is stored hashed."""
    body: dict[str, Any] = {"name": name, "scopes": scope or ["messages:create"]}
    if expires is not None:
        body["expiresAt"] = expires
    if tenant is not None:
        body["tenantId"] = tenant
    _made(run(url, lambda api: api.call("POST", "access-tokens", body)), as_json)


@tokens.command("list")
def list_tokens(url: UrlOption = DEFAULT_URL, *, as_json: JsonOption = False) -> None:
    """List access tokens: what each may do, for which tenant, when it ends and when it was used last."""
    found = run(url, lambda api: api.call("GET", "access-tokens"))["accessTokens"]
    if as_json:
        result_json(found)
        return
    for token in found:
        result(_line(token))


@tokens.command()
def change(
    token_id: IdArgument,
    name: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="Fewer scopes than it has; may be given several times.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=f"When it ends, such as 2030-01-31T12:00:00Z, or {NEVER}."),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    *,
    as_json: JsonOption = False,
) -> None:
    """Change an access token's name or end, or take scopes from it. What is left out stays."""
    body: dict[str, Any] = {} if name is None else {"name": name}
    if scope:
        body["scopes"] = scope
    if expires is not None:
        body["expiresAt"] = None if expires == NEVER else expires
    if not body:
        raise CommandError("nothing to change: give --name, --scope or --expires", code=USAGE)
    changed = run(url, lambda api: api.call("PATCH", f"access-tokens/{token_id}", body))
    result_json(changed) if as_json else result(_line(changed))


@tokens.command()
def replace(
    token_id: IdArgument,
    keep_until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="How long the old one is good, too; it is deleted at once where it is left out.",
        ),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    *,
    as_json: JsonOption = False,
) -> None:
    """Make an access token that may do the same as another one, print it, and end that one."""

    async def work(api: Api) -> Any:
        at = f"access-tokens/{token_id}"
        old = await api.call("GET", at)
        made = await api.call("POST", "access-tokens", {part: old[part] for part in _KEPT})
        if keep_until is None:
            await api.call("DELETE", at)
        else:
            await _end(api, at, keep_until, made)
        return made

    _made(run(url, work), as_json)


@tokens.command()
def delete(token_id: IdArgument, url: UrlOption = DEFAULT_URL) -> None:
    """Delete an access token: it is refused from then on."""
    run(url, lambda api: api.call("DELETE", f"access-tokens/{token_id}"))


async def _end(api: Api, at: str, when: str, made: Any) -> None:
    """Have a token end; where that is refused, there is no other one either."""
    try:
        await api.call("PATCH", at, {"expiresAt": when})
    except CommandError:
        await api.call("DELETE", f"access-tokens/{made['id']}")
        raise


def _made(made: Any, as_json: bool) -> None:  # noqa: FBT001 - the option as it was given
    result_json(made) if as_json else result(made["token"])


def _line(token: Any) -> str:
    bound = [f"tenant {token['tenantId']}"] if token["tenantId"] else []
    ends = [f"ends {token['expiresAt']}"] if token["expiresAt"] else []
    used = token["lastUsedAt"] or "never used"
    return "  ".join([token["id"], token["name"], ",".join(token["scopes"]), *bound, *ends, used])


def _password(from_stdin: bool, *, confirm: bool) -> str:  # noqa: FBT001 - the option as it was given
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return _ask("Password", hidden=True, confirm=confirm)


def _ask(what: str, *, hidden: bool = False, confirm: bool = False) -> str:
    """Ask on standard error: standard output is what `eval` takes."""
    if not sys.stdin.isatty():
        raise CommandError(
            f"{what.lower()} is missing, and there is no terminal to ask for it: see --help", code=USAGE
        )
    return str(typer.prompt(what, hide_input=hidden, confirmation_prompt=confirm, err=True))


def _signed_in(url: str, answer: Any, as_json: bool) -> None:  # noqa: FBT001 - the option as it was given
    if as_json:
        result_json(answer)
        return
    result(f"export HUSHPOST_URL={shlex.quote(url)}")
    result(f"export HUSHPOST_TOKEN={shlex.quote(answer['accessToken'])}")
    minutes = answer["expiresIn"] // 60
    say(f"signed in as {answer['user']['username']}; the token is good for {minutes} minutes")
    if sys.stdout.isatty():
        say('to use it, run these two lines, or: eval "$(hushpost login)"')
