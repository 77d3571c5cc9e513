"""`hushpost register`, `login` and `tokens`: how somebody at a terminal gets a token. Nothing is stored.

The two sign in and print what a shell takes, `export HUSHPOST_…`, so that `eval "$(hushpost login)"` is enough. That token
ends after minutes; what is to last is made with `hushpost tokens new`.
"""

import shlex
import sys
from typing import Annotated, Any

import typer

from server.cli.client import DEFAULT_URL, UrlOption, run
from server.cli.terminal import USAGE, CommandError, JsonOption, result, result_json, say

tokens = typer.Typer(no_args_is_help=True, help="Make, list and delete access tokens, for scripts.")

NameOption = Annotated[str | None, typer.Option(help="Asked for where it is left out.")]
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
    made = run(url, lambda api: api.call("POST", "access-tokens", body))
    if as_json:
        result_json(made)
    else:
        result(made["token"])


@tokens.command("list")
def list_tokens(url: UrlOption = DEFAULT_URL, *, as_json: JsonOption = False) -> None:
    """List access tokens: what each may do and when it was used last."""
    found = run(url, lambda api: api.call("GET", "access-tokens"))["accessTokens"]
    if as_json:
        result_json(found)
        return
    for token in found:
        used = token["lastUsedAt"] or "never used"
        bound = [f"tenant {token['tenantId']}"] if token["tenantId"] else []
        result("  ".join([token["id"], token["name"], ",".join(token["scopes"]), *bound, used]))


@tokens.command()
def delete(token_id: Annotated[str, typer.Argument(metavar="ID")], url: UrlOption = DEFAULT_URL) -> None:
    """Delete an access token: it is refused from then on."""
    run(url, lambda api: api.call("DELETE", f"access-tokens/{token_id}"))


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
