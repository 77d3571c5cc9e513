"""firebase-admin for Python: send_each, which is HTTP/1.1, and send_each_async, which is HTTP/2."""

import asyncio
import json
import socket
import sys
from datetime import timedelta
from typing import Any

import firebase_admin
from firebase_admin import credentials, messaging

given = json.load(sys.stdin)
_resolve, _connect = socket.getaddrinfo, socket.socket.connect
_LED = ("127.0.0.1", 443)


def _lead(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
    """Lead some names elsewhere, below the library: it connects and verifies as it always does."""
    name = host.decode() if isinstance(host, bytes) else host
    return _resolve(_LED[0] if name in given["lead"] else host, port, *args, **kwargs)


def _connect_led(self: socket.socket, address: Any) -> None:
    host, _, port = next(iter(given["lead"].values())).partition(":")
    _connect(self, (host, int(port)) if address == _LED else address)


socket.getaddrinfo = _lead
socket.socket.connect = _connect_led  # type: ignore[method-assign, assignment]  # that is the trick
firebase_admin.initialize_app(credentials.Certificate(given["serviceAccountFile"]))
messages = [
    messaging.Message(
        token=token,
        data={"hp": given["envelope"]},
        android=messaging.AndroidConfig(
            priority="high", ttl=timedelta(seconds=60), collapse_key=given["collapse"]
        ),
    )
    for token in given["tokens"]
]
batch = asyncio.run(messaging.send_each_async(messages)) if given["http2"] else messaging.send_each(messages)
json.dump(
    [
        {
            "success": one.success,
            "messageId": one.message_id,
            "error": type(one.exception).__name__ if one.exception else None,
        }
        for one in batch.responses
    ],
    sys.stdout,
)
