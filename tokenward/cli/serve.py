"""`tokenward serve`: an artifact behind HTTP."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

HELP = "Example: `tokenward serve artifacts/demo/guarded --port 8000 --audit-log flagged.jsonl`"


def register(app: typer.Typer) -> None:
    """Add the command; its options are the settings, read by the settings themselves."""
    app.command(
        cls=ServeCommand,
        epilog=HELP,
        options_metavar="ARTIFACT [OPTIONS]",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(serve)


def serve(context: typer.Context) -> None:
    """Serve defended answers over HTTP: `/v1/classify`, the KServe v2 protocol, metrics, and a page for people.

    Every option can also be given in the environment (`--max-texts` as `TOKENWARD_MAX_TEXTS`) or in the file that
    `--config` names (as `max_texts`).
    """
    from ..errors import require

    for module in ("fastapi", "uvicorn", "pydantic_settings", "yaml", "prometheus_client", "jinja2"):
        require(module, "serve")
    from ..runtime.server import serve as run
    from ..runtime.settings import load_settings

    run(load_settings(context.args))


class ServeCommand(TyperCommand):
    """Tells the settings in its help, from where they are defined."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the usual help, then a table of settings."""
        super().format_help(ctx, formatter)
        from ..errors import require

        require("pydantic_settings", "serve")
        _print_settings()


def _print_settings() -> None:
    from rich import box
    from rich.table import Table

    from ..runtime.settings import ServeSettings
    from .console import results

    table = Table("option", "default", "", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, field in ServeSettings.model_fields.items():
        option = "ARTIFACT" if name == "artifact" else "--" + name.replace("_", "-")
        default = "" if name == "artifact" or field.default in (None, "") else str(field.default).lower()
        table.add_row(option, default, field.description)
    results().print(table)
