"""What a Norwegian reads, and the English that is left in it."""

from __future__ import annotations

import re

from tests.integration.console.house import Browser, read

#: Words of any English sentence that no Norwegian one has.
ENGLISH = re.compile(
    r"\b(the|is|was|are|were|and|with|this|that|nothing|card|cards|which|from|when|has|have|not|by|it|its|"
    r"no|of|says|seen|waits|because|been|will|cannot|does|an|as|now|there|everywhere|balance|store)\b",
    re.IGNORECASE,
)
#: What is quoted: commands, layouts of files, addresses, keys of settings.
QUOTED = re.compile(
    r"`[^`]*`|\b[a-z]+-(?:cards|pools)\b|https?://\S+|giftsync [a-z]+|[a-z]+_[a-z_]+|\b(English|gs-\w+)\b"
)


def in_norwegian(browser: Browser) -> Browser:
    """The same browser, whose person reads Norwegian from now on."""
    assert browser.post("/language", page="/", language="nb").status_code == 200
    return browser


def english_in(page: str) -> list[str]:
    """English words with what stands around them."""
    words = QUOTED.sub(" ", read(page))
    return [words[max(0, one.start() - 40) : one.end() + 40] for one in ENGLISH.finditer(words)]
