"""Which device nodes containers may use: Docker's default list, as a cgroup program (BPF_PROG_TYPE_CGROUP_DEVICE).

Making nodes is allowed (images contain them), opening is not, but for the harmless ones and pseudo terminals.
The program is so small that it is assembled here by hand.
"""

from __future__ import annotations

import struct

PROGRAM_TYPE, ATTACH_TYPE = 15, 6
"""BPF_PROG_TYPE_CGROUP_DEVICE and BPF_CGROUP_DEVICE."""
BESIDES_OTHERS = 2
"""BPF_F_ALLOW_MULTI: another runtime may attach one of its own below; what is opened has to please all of them."""
_CHARACTER, _MKNOD = 2, 1
_MINORS = {1: (3, 5, 7, 8, 9), 5: (0, 1, 2)}
"""null zero full random urandom; tty console ptmx."""
_PTS_MAJOR = 136

_LOAD_WORD, _AND, _SHIFT_RIGHT, _MOVE, _EXIT = 0x61, 0x57, 0x77, 0xB7, 0x95
_MOVE_REGISTER, _JUMP_EQUAL, _JUMP_NOT_EQUAL = 0xBF, 0x15, 0x55


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", code, target | source << 4, offset, value)


def program() -> bytes:
    """The instructions: r0 is the verdict, r2 the access asked for, r3 major, r4 minor, r5 the kind of node."""
    allow = [_instruction(_MOVE, 0, value=1), _instruction(_EXIT)]
    code = [
        _instruction(_LOAD_WORD, 2, 1, 0),
        _instruction(_LOAD_WORD, 3, 1, 4),
        _instruction(_LOAD_WORD, 4, 1, 8),
        _instruction(_MOVE_REGISTER, 5, 2),
        _instruction(_AND, 5, value=0xFFFF),
        _instruction(_SHIFT_RIGHT, 2, value=16),
        _instruction(_JUMP_NOT_EQUAL, 2, offset=2, value=_MKNOD),
        *allow,
        _instruction(_JUMP_EQUAL, 5, offset=2, value=_CHARACTER),
        _instruction(_MOVE, 0, value=0),
        _instruction(_EXIT),
        _instruction(_JUMP_NOT_EQUAL, 3, offset=2, value=_PTS_MAJOR),
        *allow,
    ]
    for major, minors in _MINORS.items():
        code.append(_instruction(_JUMP_NOT_EQUAL, 3, offset=3 * len(minors), value=major))
        for minor in minors:
            code += [_instruction(_JUMP_NOT_EQUAL, 4, offset=2, value=minor), *allow]
    code += [_instruction(_MOVE, 0, value=0), _instruction(_EXIT)]
    return b"".join(code)
