"""h2 as the judge of a client: everything that it forbids ends the connection, but for a stream too many."""

from dataclasses import dataclass

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

LARGEST_HEADERS = 8000
SWEEP = 256


@dataclass(frozen=True)
class Streams:
    """How many requests may be open on a connection.

    Apple allows one before the first valid provider token, and may allow only one again after a rejection, until a push
    is accepted. Both are off by default (None), because clients that do not wait for SETTINGS break on it.
    """

    limit: int
    before_token: int | None
    after_rejection: int | None = None


class Judge(H2Connection):
    """h2 counts open streams anew for each request, over all of them, and ends the connection over one too many."""

    def __init__(self) -> None:
        super().__init__(
            H2Configuration(
                client_side=False,
                header_encoding="utf-8",
                # What goes out is ours and right; the checks would be a tenth of the work for a push.
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._asked = 0

    def begin(self, streams: int) -> None:
        """Send the first SETTINGS."""
        settings = {
            SettingCodes.MAX_CONCURRENT_STREAMS: streams,
            SettingCodes.MAX_HEADER_LIST_SIZE: LARGEST_HEADERS,
            SettingCodes.ENABLE_PUSH: 0,
        }
        self.local_settings = Settings(client=False, initial_values=settings)
        self.initiate_connection()

    @property
    def open_inbound_streams(self) -> int:
        self._asked += 1
        if self._asked % SWEEP == 0:
            super().open_inbound_streams  # noqa: B018 - counting is what makes h2 forget the closed ones
        return -1  # so that one more is within a limit of none, too
