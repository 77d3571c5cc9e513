"""What calls have in common that list something in pages, or name several at once."""

from typing import Annotated

from server.api.bodies import note, text, whole
from server.api.pages import LONGEST_PAGE

MOST_AT_ONCE = 100
LONGEST_TOKEN = 255
TOKEN = note("`pageToken` of the next page; null: this is the last one.")
PageSize = Annotated[int, whole("How many on a page.", least=1, most=LONGEST_PAGE)]
PageToken = Annotated[str, text("The `pageToken` of the page before.", most=LONGEST_TOKEN)]
