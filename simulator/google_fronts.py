"""Google over HTTP/2; over HTTP/1.1 it is reached on the same TLS listener. Real clients of FCM speak either."""

from simulator.exchange import Exchange
from simulator.google import Google
from simulator.http1 import LARGEST_REQUEST
from simulator.http2_connection import Http2Connection
from simulator.http2_judge import Streams
from simulator.requests import Outcome, Request

STREAMS = Streams(limit=100, before_token=None)


class GoogleConnection(Http2Connection):
    def __init__(self, exchange: Exchange, google: Google, connections: set[Http2Connection]) -> None:
        super().__init__(exchange, "fcm", STREAMS, connections, largest=LARGEST_REQUEST)
        self._google = google

    def answer(self, request: Request) -> Outcome:
        return self._google.answer(request)

    def pass_over(self, request: Request, reason: str) -> None:
        self._google.pass_over(request, reason)
