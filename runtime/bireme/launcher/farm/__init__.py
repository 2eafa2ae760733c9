"""Containers that another runtime makes: the launcher's part of the drivers that farm mounting and running out.

A *helper*, a clone of the launcher with a mount namespace of its own, prepares what the runtime is to find
(``_stage``), writes it down in the runtime's own language (``_oci``, ``_lxc``: pure), runs the runtime (``_runtime``)
until the container runs, and ends. Its child, the container's first process, then falls to the launcher, process 1 of
its PID namespace: no process stands between the two, so that an exit is told exactly as it was, and signals, freezing
and added processes are the same as for a container that the launcher has made itself.
"""

from __future__ import annotations

from bireme.launcher.farm._helper import start

__all__ = ["start"]
