"""The language in which the terminal writes files and mails for people: that of the pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from config.settings import Settings
from connectors.api.capabilities import Place
from mappings.readers import ENGLISH, EnglishReader, Reader


def reader_of_settings(settings: Settings, places: Callable[[], Mapping[str, Place]] = dict) -> Reader:
    """The reader that `[console] language` names."""
    language = settings.console.language
    if language == ENGLISH.language:
        return EnglishReader(lambda: {name: place.name for name, place in places().items()})
    # Babel and the catalogue take a moment to load.
    from console.reader import reader_of

    return reader_of(language, settings.link.zone, places)
