"""Seccomp filters: Docker's default profile and profiles of one's own, compiled to BPF for the launcher to install."""

from __future__ import annotations

from bireme.drivers.seccomp._document import parse
from bireme.drivers.seccomp._filters import UNCONFINED, Filters, Holder
from bireme.drivers.seccomp._oci import document
from bireme.drivers.seccomp._profile import Host, Profile, Rules, this_host

__all__ = ["UNCONFINED", "Filters", "Holder", "Host", "Profile", "Rules", "document", "parse", "this_host"]
