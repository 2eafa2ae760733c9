"""A shorter program that decides the same.

The kernel checks, converts and compiles a filter for each container that starts, and runs it once for each call that
there is, to learn which ones are always allowed. All of that takes time by the program's length, and libseccomp writes
one test for each call that a profile names: over a thousand for Docker's profile. So a program is taken apart by what
it asks (``_meaning``), and put together again:

- *Searching.* Neighbouring numbers with the same node are one piece, and a binary search finds a number's piece. A lone
  number amid others is cheaper to test for by itself, so a few such are tested one after the other at the end of a
  search. Numbers that the kernel tries weigh more than those it does not: they are found in fewer steps.
- *Writing.* From the end towards the beginning, each node after all that it jumps to, so that distances are known.
  A jump reaches 255 instructions far; where that is not enough, a copy of the verdict or a jump without condition is
  put in between.

Nothing is believed: the result is read as the original was and has to have the same meaning for every architecture,
number and argument; besides, both are run with all bounds and constants. If anything differs, if the program holds what
is not understood here, or if nothing is gained, the original stays.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from bireme.drivers.seccomp._meaning import (
    ALL,
    AND,
    ARCHITECTURE,
    AT_LEAST,
    COMPARISONS,
    EQUAL,
    JUMP,
    LOAD,
    NUMBER,
    RETURN,
    Code,
    Graph,
    Instruction,
    NotUnderstoodError,
    Piece,
    read,
    steps,
)

_REACH = 254
"""One less than the kernel's, for of two targets the second one may have to be brought near with one instruction."""
_TRIED = 512
"""The kernel tries the numbers below some 470."""
_INSTRUCTION = 130
"""What an instruction costs when a filter is installed, in steps of the trials: 0.19 µs to 1.4 ns."""
_LONGEST_CHAIN = 8
_POINTS = 256
"""Of arguments, that a tail is tried with at most."""


def shrink(program: bytes) -> bytes:
    """The shortest equivalent program known, which may be the one given. Takes some milliseconds."""
    code: Code = list(struct.iter_unpack("=HBBI", program))
    try:
        shorter = _rebuilt(code)
    except NotUnderstoodError:
        return program
    return b"".join(struct.pack("=HBBI", *each) for each in shorter) if len(shorter) < len(code) else program


def _rebuilt(code: Code) -> Code:
    graph = Graph()
    meaning = read(graph, code, ())
    shorter = _written(graph, _dispatch(graph, meaning))
    same = read(graph, shorter, meaning) == meaning and _run_alike(code, shorter, meaning)
    return shorter if same else code


# Searching.


def _dispatch(graph: Graph, meaning: dict[int, list[Piece]]) -> int:
    """The root: architectures one after the other, then whatever all others have in common."""
    others = meaning[0]
    special = [architecture for architecture, pieces in meaning.items() if pieces != others]
    if any(meaning.get(each + side, others) != others for each in special for side in (-1, 1)):
        raise NotUnderstoodError
    root = _search(graph, others)
    for architecture in sorted(special):
        found = _search(graph, meaning[architecture])
        root = graph.test(EQUAL, ARCHITECTURE, architecture, found, root)
    return root


@dataclass(frozen=True, slots=True)
class _Segment:
    """Neighbouring pieces: one node for all, but for some lone numbers."""

    first: int
    weight: int
    node: int
    lone: tuple[Piece, ...]


def _search(graph: Graph, pieces: list[Piece]) -> int:
    return _balanced(graph, _segments(pieces))


def _balanced(graph: Graph, segments: list[_Segment]) -> int:
    """A search whose both sides weigh about the same."""
    if len(segments) == 1:
        return _chain(graph, segments[0])
    sums = list(itertools.accumulate(each.weight for each in segments))
    middle = bisect.bisect(sums, sums[-1] // 2, 1, len(segments) - 1)
    above = _balanced(graph, segments[middle:])
    below = _balanced(graph, segments[:middle])
    return graph.test(AT_LEAST, NUMBER, segments[middle].first, above, below)


def _chain(graph: Graph, segment: _Segment) -> int:
    found = segment.node
    for number, _, node in reversed(segment.lone):
        found = graph.test(EQUAL, NUMBER, number, node, found)
    return found


def _segments(pieces: list[Piece]) -> list[_Segment]:
    """The cheapest division: the best for the first n pieces is one of those for fewer, and a segment."""
    costs, last = [0], [(0, 0)]
    for end in range(1, len(pieces) + 1):
        cost, start, node = min(_endings(pieces, end, costs))
        costs.append(cost)
        last.append((start, node))
    found, end = [], len(pieces)
    while end:
        start, node = last[end]
        lone = tuple(piece for piece in pieces[start:end] if piece[2] != node)
        found.append(_Segment(pieces[start][0], _weight(pieces[start:end]), node, lone))
        end = start
    return found[::-1]


def _endings(pieces: list[Piece], end: int, costs: list[int]) -> Iterator[tuple[int, int, int]]:
    """The possible last segments of the first ``end`` pieces: the cost of all up to there, its beginning, its node."""
    counts: Counter[int] = Counter()
    wide = -1
    for start in range(end - 1, max(end - 2 * _LONGEST_CHAIN - 2, -1), -1):
        first, last, node = pieces[start]
        counts[node] += 1
        if first != last:
            if wide not in (-1, node):
                return
            wide = node
        common = max(counts, key=counts.__getitem__) if wide < 0 else wide
        lone = end - start - counts[common]
        if lone <= _LONGEST_CHAIN:
            yield costs[start] + (lone + 1) * _INSTRUCTION + lone * _weight(pieces[start:end]), start, common


def _weight(pieces: list[Piece]) -> int:
    """How many of the numbers are tried, but not 0."""
    return max(min(pieces[-1][1] + 1, _TRIED) - pieces[0][0], 0) + 1


# Writing.


def _written(graph: Graph, root: int) -> Code:
    below = graph.below(root)
    loads = {root}
    for number in below:
        node = graph.nodes[number]
        loads.update(each for each in (node.yes, node.no) if each >= 0 and graph.nodes[each].word != node.word)
    writer = _Writer(graph)
    for number in below:
        if graph.nodes[number].operation != RETURN:
            writer.test(number, number in loads)
    writer.bring_near((root, True))
    return writer.backwards[::-1]


class _Writer:
    """The program from its end, and where in it the nodes are."""

    def __init__(self, graph: Graph) -> None:
        self.backwards: list[Instruction] = []
        self._graph = graph
        self._places: dict[tuple[int, bool], int] = {}
        """By a node and whether its word is still to be loaded."""

    def test(self, number: int, load: bool) -> None:
        """Write a comparison; with ``load`` also for those that come with another word."""
        node = self._graph.nodes[number]
        yes, no = ((each, self._graph.nodes[each].word != node.word) for each in (node.yes, node.no))
        self.bring_near(yes)
        self.bring_near(no)
        self._write((number, False), (node.operation, self._distance(yes), self._distance(no), node.operand))
        if load:
            offset, mask = node.word
            if mask != ALL:
                self.backwards.append((AND, 0, 0, mask))
            self._write((number, True), (LOAD, 0, 0, offset))

    def bring_near(self, target: tuple[int, bool]) -> None:
        """Write a copy or a jump, if the target is too far away or a verdict not yet written."""
        node = self._graph.nodes[target[0]]
        if target in self._places and self._distance(target) <= _REACH:
            return
        if node.operation == RETURN:
            self._write(target, (RETURN, 0, 0, node.operand))
        else:
            self._write(target, (JUMP, 0, 0, self._distance(target)))

    def _distance(self, target: tuple[int, bool]) -> int:
        """From the instruction that is written next."""
        return len(self.backwards) - self._places[target] - 1

    def _write(self, target: tuple[int, bool], instruction: Instruction) -> None:
        self._places[target] = len(self.backwards)
        self.backwards.append(instruction)


# Running.


def _run_alike(one: Code, other: Code, architectures: dict[int, list[Piece]]) -> bool:
    """Whether both say the same for the first and last number of each piece, and in their tails for all constants."""
    looks: set[tuple[int, int]] = set()
    for architecture, pieces in architectures.items():
        for number in {number for first, last, _ in pieces for number in (first, last)}:
            data = {NUMBER[0]: number, ARCHITECTURE[0]: architecture}
            (place, verdict), (there, other_verdict) = _run(one, 0, data), _run(other, 0, data)
            if verdict is None or other_verdict is None:  # one of them may look at what makes no difference
                looks.add((place, there))
            elif verdict != other_verdict:
                return False
    return all(
        _run(one, place, data)[1] == _run(other, there, data)[1]
        for place, there in looks
        for data in _arguments(one, place, other, there)
    )


def _run(code: Code, place: int, data: dict[int, int]) -> tuple[int, int | None]:
    """As the kernel would: where it ends and with what verdict; None at the first look at a word not in ``data``."""
    accumulator = 0
    while True:
        operation, yes, no, operand = code[place]
        if operation in COMPARISONS:
            place += yes if COMPARISONS[operation](accumulator, operand) else no
        elif operation == RETURN:
            return place, operand
        elif operation == JUMP:
            place += operand
        elif operation == AND:
            accumulator &= operand
        elif operand not in data:
            return place, None
        else:
            accumulator = data[operand]
        place += 1


def _arguments(one: Code, place: int, other: Code, there: int) -> Iterator[dict[int, int]]:
    """Words of arguments: all combinations of the constants that the tails compare them with, and of their neighbours.

    If there are too many, some of them; always the same.
    """
    words: dict[int, set[int]] = {}
    for code, start in ((one, place), (other, there)):
        for (at, word), _ in steps(code, [start]):
            operation, _, _, operand = code[at]
            if operation in COMPARISONS and word is not None:
                beside = ~word[1] & ALL
                near = {operand, operand - 1 & ALL, operand + 1 & ALL}
                words.setdefault(word[0], {0, ALL}).update(near, (each | beside for each in near))
    choices = [sorted(values) for values in words.values()]
    count = math.prod(len(each) for each in choices)
    picker = random.Random(0)
    picked = (tuple(picker.choice(each) for each in choices) for _ in range(_POINTS))
    for values in itertools.product(*choices) if count <= _POINTS else picked:
        yield dict(zip(words, values, strict=True))
