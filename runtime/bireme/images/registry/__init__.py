"""Registries: ``pull``, ``push``, ``login`` and questions about images, by Docker's and OCI's distribution protocol.

Why httpx on trio and not skopeo as a process: skopeo tells nothing of the progress of a layer, which is what clients
draw; it begins a broken layer anew instead of resuming it; it would write an archive to disk only for it to be read
again; and it is a foreign program of some 40 MB that users had to install. httpx speaks TLS, proxies and connection
pools, and everything that is particular to registries is a few hundred lines here.

Theory of operation. A *session* (``session``) is the talk with one repository of one registry: it finds out how the
registry is reached (``places``), answers its challenges (``auth``, ``authority``), follows redirects by itself, so that
no other host is ever shown a credential, and tries again what may be tried again (``patience``). ``pull`` and ``push``
stand on it. Rules: whatever a registry sends is bounded in size before it is read; nothing is believed that is named by
a digest until the digest is compared; what a pull has fetched of a layer stays for the next one (``partials``) and what
it has made of it is undone, unless the image is whole.

This front loads no httpx: what needs it is imported by the first pull or push.
"""

from __future__ import annotations

from bireme.images.registry.auth import Credentials, read_auth_header, read_credentials
from bireme.images.registry.faults import RegistryError, Unauthorized
from bireme.images.registry.places import INDEX, Registries

__all__ = [
    "INDEX",
    "Credentials",
    "Registries",
    "RegistryError",
    "Unauthorized",
    "read_auth_header",
    "read_credentials",
]
