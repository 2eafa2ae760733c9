"""The launcher's process: executed by path, without site and environment, never imported.

``python -I -S __main__.py STAGE SETTINGS DESCRIPTOR``; what happens in which stage is told in ``_boot``.
"""

from __future__ import annotations

import json
import sys

if __name__ == "__main__":
    settings = json.loads(sys.argv[2])
    sys.path.insert(0, settings["source"])
    from bireme.launcher import _boot

    _boot.run(sys.argv[1], settings, int(sys.argv[3]))
