"""The launcher: one small helper process an engine, which starts, joins, signals and reaps all containers.

``client`` is the engine's side (trio). Everything else runs in the launcher, or in the processes it clones, and
imports the standard library, ``bireme._syscalls`` and its neighbours here, nothing else: what the launcher has
imported, every clone has to copy.
"""
