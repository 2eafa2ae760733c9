"""A shorter program that decides the same.

The kernel checks, converts and compiles a filter for each container that starts, and runs it once for each call that
there is, to learn which ones are always allowed. All of that takes time by the program's length, and libseccomp writes
one test for each call that a profile names: over a thousand for Docker's profile.

A filter is a function without loops of three things: the architecture, the call's number, the words of its arguments.
So it is taken apart by what it asks, and put together again:

- *Reading.* For one architecture the numbers flow through the program as intervals that its jumps split, until each
  number has come to an end: a verdict, or the first look at an argument. Only constants divide architectures, so a few
  stand for all.
- *Tails.* What follows the first look at an argument becomes nodes of a graph, from the end of the program towards its
  beginning, since jumps go forward only. Equal nodes are one node. So are verdicts.
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
import operator
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""
Code = Sequence[Instruction]
Numbers = list[tuple[int, int]]
"""Intervals, both ends included."""
Piece = tuple[int, int, int]
"""First number, last number, node."""
Word = tuple[int, int]
"""What the accumulator holds: the offset of a word in ``struct seccomp_data``, and a mask."""

_LOAD, _AND, _JUMP, _RETURN = 0x20, 0x54, 0x05, 0x06
_EQUAL, _GREATER, _AT_LEAST, _ANY_BIT = 0x15, 0x25, 0x35, 0x45
_COMPARISONS: dict[int, Callable[[int, int], object]] = {
    _EQUAL: operator.eq,
    _GREATER: operator.gt,
    _AT_LEAST: operator.ge,
    _ANY_BIT: operator.and_,
}
_ALL = 0xFFFFFFFF
_SIZE = 64
"""Of ``struct seccomp_data``."""
_NUMBER: Word = (0, _ALL)
_ARCHITECTURE: Word = (4, _ALL)
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
    except _NotUnderstoodError:
        return program
    return b"".join(struct.pack("=HBBI", *each) for each in shorter) if len(shorter) < len(code) else program


class _NotUnderstoodError(Exception):
    """The program holds what libseccomp does not write."""


def _rebuilt(code: Code) -> Code:
    graph = _Graph()
    meaning = _meaning(graph, code, ())
    shorter = _written(graph, _dispatch(graph, meaning))
    same = _meaning(graph, shorter, meaning) == meaning and _run_alike(code, shorter, meaning)
    return shorter if same else code


# Reading.


def _meaning(graph: _Graph, code: Code, architectures: Iterable[int]) -> dict[int, list[Piece]]:
    """What becomes of each number on some architectures: those given, and more, such that any other one is like the
    nearest of them."""
    flows: dict[int, _Flow] = {}
    waiting = {0, _ALL, *architectures}
    while waiting:
        flow = _Flow(code, waiting.pop())
        flows[flow.architecture] = flow
        waiting |= flow.constants - flows.keys()
    nodes = _tails(graph, code, {end for flow in flows.values() for end in flow.ends})
    return {architecture: _pieces(flow.ends, nodes) for architecture, flow in flows.items()}


class _Flow:
    """All numbers on their way through the program, for one architecture."""

    def __init__(self, code: Code, architecture: int) -> None:
        self.architecture = architecture
        self.constants: set[int] = set()
        """What the architecture is compared with, and the neighbours of that."""
        self.ends: dict[int, Numbers] = {}
        """By the place of a verdict or of the first look at an argument."""
        self._code = code
        self._arriving: dict[tuple[int, Word | None], Numbers] = {}
        self._words: dict[int, list[Word | None]] = {}
        self._send(0, None, [(0, _ALL)])
        for place in range(len(code)):
            for word in self._words.pop(place, ()):
                self._step(place, word, self._arriving.pop((place, word)))
        if self._words:
            raise _NotUnderstoodError

    def _send(self, place: int, word: Word | None, numbers: Numbers) -> None:
        if (place, word) not in self._arriving:
            self._arriving[place, word] = []
            self._words.setdefault(place, []).append(word)
        self._arriving[place, word] += numbers

    def _step(self, place: int, word: Word | None, numbers: Numbers) -> None:
        operation, yes, no, operand = self._code[place]
        if operation == _RETURN or (operation == _LOAD and operand not in (_NUMBER[0], _ARCHITECTURE[0])):
            self.ends.setdefault(place, []).extend(numbers)
        elif operation == _LOAD:
            self._send(place + 1, (operand, _ALL), numbers)
        elif operation == _JUMP:
            self._send(place + 1 + operand, word, numbers)
        elif word == _NUMBER:
            inside, outside = _split(numbers, *_interval(operation, operand))
            if inside:
                self._send(place + 1 + yes, word, inside)
            if outside:
                self._send(place + 1 + no, word, outside)
        elif word == _ARCHITECTURE:
            self.constants.update((max(operand - 1, 0), operand, min(operand + 1, _ALL)))
            low, high = _interval(operation, operand)
            self._send(place + 1 + (yes if low <= self.architecture <= high else no), word, numbers)
        else:
            raise _NotUnderstoodError


def _interval(operation: int, operand: int) -> tuple[int, int]:
    """Of the values for which a comparison holds. May be empty: its end lies before its beginning."""
    if operation == _EQUAL:
        return operand, operand
    if operation == _AT_LEAST:
        return operand, _ALL
    if operation == _GREATER:
        return operand + 1, _ALL
    raise _NotUnderstoodError


def _split(numbers: Numbers, low: int, high: int) -> tuple[Numbers, Numbers]:
    """What lies from ``low`` to ``high``, and what does not."""
    inside, outside = [], []
    for first, last in numbers:
        if max(first, low) <= min(last, high):
            inside.append((max(first, low), min(last, high)))
        if first < low:
            outside.append((first, min(last, low - 1)))
        if last > high:
            outside.append((max(first, high + 1), last))
    return inside, outside


def _pieces(ends: dict[int, Numbers], nodes: dict[int, int]) -> list[Piece]:
    """In the numbers' order, as few as possible."""
    found: list[Piece] = []
    for first, last, node in sorted((*each, nodes[end]) for end, numbers in ends.items() for each in numbers):
        if found and found[-1][2] == node:
            found[-1] = (found[-1][0], last, node)
        else:
            found.append((first, last, node))
    return found


# Tails.


@dataclass(frozen=True, slots=True)
class _Node:
    """A verdict, or a comparison of a word and the nodes to go on with."""

    operation: int
    word: Word
    operand: int
    yes: int = -1
    no: int = -1


class _Graph:
    """Each node once. A node's number is higher than the numbers of those it goes on with."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        self._numbers: dict[_Node, int] = {}

    def verdict(self, action: int) -> int:
        return self._add(_Node(_RETURN, (0, 0), action))

    def test(self, operation: int, word: Word, operand: int, yes: int, no: int) -> int:
        """A comparison, or, if it makes no difference, what it leads to."""
        if word[1] == 0:
            return yes if _COMPARISONS[operation](0, operand) else no
        return yes if yes == no else self._add(_Node(operation, word, operand, yes, no))

    def _add(self, node: _Node) -> int:
        if node not in self._numbers:
            self._numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return self._numbers[node]

    def below(self, root: int) -> list[int]:
        """The nodes that can be reached, in their numbers' order."""
        found = {root}
        for number in range(root, -1, -1):
            if number in found and self.nodes[number].operation != _RETURN:
                found.update((self.nodes[number].yes, self.nodes[number].no))
        return sorted(found)


def _tails(graph: _Graph, code: Code, ends: Iterable[int]) -> dict[int, int]:
    """The nodes for places where a verdict or a look at an argument is."""
    steps = dict(_steps(code, ends))
    nodes: dict[tuple[int, Word | None], int] = {}
    for place, word in sorted(steps, key=operator.itemgetter(0), reverse=True):
        operation, _, _, operand = code[place]
        following = [nodes[key] for key in steps[place, word]]
        if operation == _RETURN:
            nodes[place, word] = graph.verdict(operand)
        elif operation in _COMPARISONS:
            assert word is not None
            nodes[place, word] = graph.test(operation, word, operand, *following)
        else:
            (nodes[place, word],) = following
    return {end: nodes[end, None] for end in ends}


def _steps(code: Code, ends: Iterable[int]) -> Iterator[tuple[tuple[int, Word | None], list[tuple[int, Word | None]]]]:
    """Each place that a tail goes through, with what the accumulator holds there, and what comes next."""
    reached: dict[int, set[Word | None]] = {end: {None} for end in ends}
    for place in range(len(code)):
        for word in reached.pop(place, ()):
            following = _next(code, place, word)
            for there, then in following:
                reached.setdefault(there, set()).add(then)
            yield (place, word), following
    if reached:
        raise _NotUnderstoodError


def _next(code: Code, place: int, word: Word | None) -> list[tuple[int, Word | None]]:
    operation, yes, no, operand = code[place]
    if operation == _RETURN:
        return []
    if operation == _JUMP:
        return [(place + 1 + operand, word)]
    if operation == _LOAD and operand not in (_NUMBER[0], _ARCHITECTURE[0]) and operand < _SIZE and operand % 4 == 0:
        return [(place + 1, (operand, _ALL))]
    if operation == _AND and word is not None:
        return [(place + 1, (word[0], word[1] & operand))]
    if operation in _COMPARISONS and word is not None:
        return [(place + 1 + yes, word), (place + 1 + no, word)]
    raise _NotUnderstoodError


# Searching.


def _dispatch(graph: _Graph, meaning: dict[int, list[Piece]]) -> int:
    """The root: architectures one after the other, then whatever all others have in common."""
    others = meaning[0]
    special = [architecture for architecture, pieces in meaning.items() if pieces != others]
    if any(meaning.get(each + side, others) != others for each in special for side in (-1, 1)):
        raise _NotUnderstoodError
    root = _search(graph, others)
    for architecture in sorted(special):
        found = _search(graph, meaning[architecture])
        root = graph.test(_EQUAL, _ARCHITECTURE, architecture, found, root)
    return root


@dataclass(frozen=True, slots=True)
class _Segment:
    """Neighbouring pieces: one node for all, but for some lone numbers."""

    first: int
    weight: int
    node: int
    lone: tuple[Piece, ...]


def _search(graph: _Graph, pieces: list[Piece]) -> int:
    return _balanced(graph, _segments(pieces))


def _balanced(graph: _Graph, segments: list[_Segment]) -> int:
    """A search whose both sides weigh about the same."""
    if len(segments) == 1:
        return _chain(graph, segments[0])
    sums = list(itertools.accumulate(each.weight for each in segments))
    middle = bisect.bisect(sums, sums[-1] // 2, 1, len(segments) - 1)
    above = _balanced(graph, segments[middle:])
    below = _balanced(graph, segments[:middle])
    return graph.test(_AT_LEAST, _NUMBER, segments[middle].first, above, below)


def _chain(graph: _Graph, segment: _Segment) -> int:
    found = segment.node
    for number, _, node in reversed(segment.lone):
        found = graph.test(_EQUAL, _NUMBER, number, node, found)
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


def _written(graph: _Graph, root: int) -> Code:
    below = graph.below(root)
    loads = {root}
    for number in below:
        node = graph.nodes[number]
        loads.update(each for each in (node.yes, node.no) if each >= 0 and graph.nodes[each].word != node.word)
    writer = _Writer(graph)
    for number in below:
        if graph.nodes[number].operation != _RETURN:
            writer.test(number, number in loads)
    writer.bring_near((root, True))
    return writer.backwards[::-1]


class _Writer:
    """The program from its end, and where in it the nodes are."""

    def __init__(self, graph: _Graph) -> None:
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
            if mask != _ALL:
                self.backwards.append((_AND, 0, 0, mask))
            self._write((number, True), (_LOAD, 0, 0, offset))

    def bring_near(self, target: tuple[int, bool]) -> None:
        """Write a copy or a jump, if the target is too far away or a verdict not yet written."""
        node = self._graph.nodes[target[0]]
        if target in self._places and self._distance(target) <= _REACH:
            return
        if node.operation == _RETURN:
            self._write(target, (_RETURN, 0, 0, node.operand))
        else:
            self._write(target, (_JUMP, 0, 0, self._distance(target)))

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
            data = {_NUMBER[0]: number, _ARCHITECTURE[0]: architecture}
            (place, verdict), (there, other_verdict) = _run(one, 0, data), _run(other, 0, data)
            if verdict != other_verdict:
                return False
            if verdict is None:
                looks.add((place, there))
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
        if operation in _COMPARISONS:
            place += yes if _COMPARISONS[operation](accumulator, operand) else no
        elif operation == _RETURN:
            return place, operand
        elif operation == _JUMP:
            place += operand
        elif operation == _AND:
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
        for (at, word), _ in _steps(code, [start]):
            operation, _, _, operand = code[at]
            if operation in _COMPARISONS and word is not None:
                beside = ~word[1] & _ALL
                near = {operand, operand - 1 & _ALL, operand + 1 & _ALL}
                words.setdefault(word[0], {0, _ALL}).update(near, (each | beside for each in near))
    choices = [sorted(values) for values in words.values()]
    count = math.prod(len(each) for each in choices)
    picker = random.Random(0)
    picked = (tuple(picker.choice(each) for each in choices) for _ in range(_POINTS))
    for values in itertools.product(*choices) if count <= _POINTS else picked:
        yield dict(zip(words, values, strict=True))
