"""The command line: Docker's words and flags, a thin client of the engine's API.

Theory of operation. A client starts for every command, so its start is kept below what a person or a loop notices:
the standard library only, each verb imported when it is asked for, and of the standard library nothing that is slow
to import where a few lines do (``dataclasses``, ``typing``, ``http.client`` and ``email`` together cost more than
the whole client). What a word means is decided in pure modules (``_flags``, ``_parser``, ``_config``, ``_format``,
``_render``); what talks to the engine (``_client``, ``_attach``, ``_autostart``) knows no flags; a verb joins both.
"""

from __future__ import annotations

from bireme.cli._main import main

__all__ = ["main"]
