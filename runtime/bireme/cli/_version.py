"""Which version this is."""

from __future__ import annotations


def client_version() -> str:
    """The package's version: its front's, or the installed distribution's."""
    import bireme

    version = getattr(bireme, "__version__", None)
    if isinstance(version, str):
        return version
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("bireme")
    except PackageNotFoundError:
        return "unknown"
