"""Simulated providers that share their credentials: RSA's key takes longer to make than all the rest of them."""

import secrets
from functools import cache
from pathlib import Path
from typing import Any

from simulator.credentials import Credentials, make_credentials
from simulator.providers import APP, PROJECT, Providers


@cache
def credentials() -> Credentials:
    return make_credentials(secrets.token_bytes, app=APP, project=PROJECT)


def simulated(directory: Path, **options: Any) -> Providers:
    """The options are those of `Providers`. Each knows only the tokens that it has made."""
    return Providers(directory, credentials=credentials(), **options)
