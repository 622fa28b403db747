"""What a browser says of itself, in the two words by which its person knows it."""

from __future__ import annotations

from typing import Final

#: What stands in the header, and what it is called. The first one counts: browsers name others, too.
_BROWSERS: Final = (
    *(("Edg/", "Edge"), ("EdgA/", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet")),
    *(("Firefox/", "Firefox"), ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"), ("Chrome/", "Chrome")),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    *(("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows")),
    *(("CrOS", "Chromebook"), ("Mac OS X", "Mac"), ("Linux", "Linux")),
)


def device_words(user_agent: str) -> str:
    """`Firefox, Windows`; empty for what no browser says. Nothing of the header itself is in it."""
    found = (
        next((name for part, name in known if part in user_agent), "") for known in (_BROWSERS, _SYSTEMS)
    )
    return ", ".join(name for name in found if name)
