"""The options that every command shares."""

from __future__ import annotations

from typing import Annotated

import typer

from connectors.api.commands import ConfigOption, JsonOption

__all__ = ["ConfigOption", "JsonOption", "MetricsPortOption"]

MetricsPortOption = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", min=1, max=65535, help="Serve Prometheus metrics there, to this machine only."
    ),
]
