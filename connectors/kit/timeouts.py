"""How long a call to a side may take; apart from the client, which takes a third of a second to load."""

from __future__ import annotations

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
#: One call as a whole: from looking up the host to the last byte of the answer.
CALL_SECONDS = CONNECT_SECONDS + READ_SECONDS
