"""Our streams on one connection: who asked, what has come of the answer, and how each one ends (RFC 9113, section 5.1).

A request is in `open` exactly until it has ended or was given back. A stream that we reset counts against the peer's limit
until the peer must know of it: by its own end of the stream, or by a PING that it answered after the reset.
"""

from collections.abc import Callable

from relay.http2 import Fault, Request, Response, finish
from relay.http2_answers import Answer
from relay.http2_frames import Broken, Code, rst_stream
from relay.http2_sending import Outflow


class Streams:
    """`say` takes bytes for the peer, `again` what was certainly not processed. `served`: how many were answered."""

    def __init__(self, say: Callable[[bytes], None], again: Callable[[list[Request]], None]) -> None:
        self._say = say
        self._again = again
        self.open: dict[int, Request] = {}
        self.answers: dict[int, Answer] = {}
        self.outflow = Outflow()
        self.next = 1
        self.served = 0
        self.resets: set[int] = set()
        self._highest_over = 0

    def begin(self, request: Request) -> int:
        stream = self.next
        self.next = stream + 2
        self.open[stream] = request
        request.attempts += 1
        return stream

    def check(self, stream: int) -> None:
        """Refuse a frame on a stream that nobody opened: 0, one of the peer's, one of ours that is still to come."""
        if not stream & 1 or stream >= self.next:
            raise Broken(Code.PROTOCOL_ERROR)

    def take_late(self, stream: int, *, end: bool) -> None:
        """Take a frame of a stream that is over: it may have been under way when we ended it, never when the peer did.

        Which of the two it was is not remembered for each stream: below the last that we ended, all is taken.
        """
        if stream > self._highest_over:
            raise Broken(Code.STREAM_CLOSED)
        if end:
            self.resets.discard(stream)

    def begin_answer(self, stream: int, head: Response) -> None:
        self.answers[stream] = Answer(head)

    def answered(self, stream: int, response: Response, *, ended: bool) -> None:
        # An answer may come before the request was sent whole; then nobody wants the rest (section 8.1).
        if not ended or stream in self.outflow:
            self._reset(stream, Code.CANCEL)
        self.served += 1
        finish(self._forget(stream), response)

    def give_up(self, stream: int, code: Code, fault: Fault) -> None:
        self._reset(stream, code)
        finish(self._forget(stream), fault)

    def was_reset(self, stream: int, code: int) -> None:
        """Take the peer's RST_STREAM."""
        self.resets.discard(stream)
        if stream not in self.open:
            return
        # One that was refused has not been processed at all (section 8.7), so no answer has begun.
        refused = code == Code.REFUSED_STREAM and stream not in self.answers
        request = self._forget(stream)
        if refused:
            self._again([request])
        else:
            finish(request, Fault.STREAM_RESET)

    def go_away(self, last: int) -> None:
        """Give back what lies beyond the last stream that the peer will process (section 6.8).

        Not what it has begun to answer: that was processed, whatever it says now.
        """
        gone = [stream for stream in self.open if stream > last and stream not in self.answers]
        if gone:
            self._highest_over = max(self._highest_over, gone[-1])
            self._again([self._forget(stream) for stream in gone])

    def expire(self, now: float) -> None:
        for stream in [stream for stream, request in self.open.items() if request.deadline <= now]:
            self.give_up(stream, Code.CANCEL, Fault.TIMEOUT)

    def end(self, fault: Fault) -> None:
        # All are taken out before the first is told: who is told may ask how many are under way.
        for request in [self._forget(stream) for stream in tuple(self.open)]:
            finish(request, fault)

    def _reset(self, stream: int, code: Code) -> None:
        self._say(rst_stream(stream, code))
        self.resets.add(stream)
        self._highest_over = max(self._highest_over, stream)

    def _forget(self, stream: int) -> Request:
        self.answers.pop(stream, None)
        self.outflow.forget(stream)
        return self.open.pop(stream)
