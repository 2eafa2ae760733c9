"""What a seccomp filter means: what becomes of each number, on each architecture, by its arguments.

A filter is a function without loops of three things: the architecture, the call's number, the words of its arguments.

- *Numbers.* For one architecture the numbers flow through the program as intervals that its jumps split, until each
  number has come to an end: a verdict, or the first look at an argument. Only constants divide architectures, so a few
  stand for all.
- *Tails.* What follows the first look at an argument becomes nodes of a graph, from the end of the program towards its
  beginning, since jumps go forward only. Equal nodes are one node. So are verdicts.
"""

from __future__ import annotations

import operator
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

LOAD, AND, JUMP, RETURN = 0x20, 0x54, 0x05, 0x06
EQUAL, GREATER, AT_LEAST, ANY_BIT = 0x15, 0x25, 0x35, 0x45
COMPARISONS: dict[int, Callable[[int, int], object]] = {
    EQUAL: operator.eq,
    GREATER: operator.gt,
    AT_LEAST: operator.ge,
    ANY_BIT: operator.and_,
}
ALL = 0xFFFFFFFF
_SIZE = 64
"""Of ``struct seccomp_data``."""
NUMBER: Word = (0, ALL)
ARCHITECTURE: Word = (4, ALL)


class NotUnderstoodError(Exception):
    """The program holds what libseccomp does not write."""


# Numbers.


def read(graph: Graph, code: Code, architectures: Iterable[int]) -> dict[int, list[Piece]]:
    """What becomes of each number on some architectures: those given, and more, such that any other one is like the
    nearest of them."""
    flows: dict[int, _Flow] = {}
    waiting = {0, ALL, *architectures}
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
        self._send(0, None, [(0, ALL)])
        for place in range(len(code)):
            for word in self._words.pop(place, ()):
                self._step(place, word, self._arriving.pop((place, word)))
        if self._words:
            raise NotUnderstoodError

    def _send(self, place: int, word: Word | None, numbers: Numbers) -> None:
        if (place, word) not in self._arriving:
            self._arriving[place, word] = []
            self._words.setdefault(place, []).append(word)
        self._arriving[place, word] += numbers

    def _step(self, place: int, word: Word | None, numbers: Numbers) -> None:
        operation, yes, no, operand = self._code[place]
        if operation == RETURN or (operation == LOAD and operand not in (NUMBER[0], ARCHITECTURE[0])):
            self.ends.setdefault(place, []).extend(numbers)
        elif operation == LOAD:
            self._send(place + 1, (operand, ALL), numbers)
        elif operation == JUMP:
            self._send(place + 1 + operand, word, numbers)
        elif word == NUMBER:
            inside, outside = _split(numbers, *_interval(operation, operand))
            if inside:
                self._send(place + 1 + yes, word, inside)
            if outside:
                self._send(place + 1 + no, word, outside)
        elif word == ARCHITECTURE:
            self.constants.update((max(operand - 1, 0), operand, min(operand + 1, ALL)))
            low, high = _interval(operation, operand)
            self._send(place + 1 + (yes if low <= self.architecture <= high else no), word, numbers)
        else:
            raise NotUnderstoodError


def _interval(operation: int, operand: int) -> tuple[int, int]:
    """Of the values for which a comparison holds. May be empty: its end lies before its beginning."""
    if operation == EQUAL:
        return operand, operand
    if operation == AT_LEAST:
        return operand, ALL
    if operation == GREATER:
        return operand + 1, ALL
    raise NotUnderstoodError


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


class Graph:
    """Each node once. A node's number is higher than the numbers of those it goes on with."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        self._numbers: dict[_Node, int] = {}

    def verdict(self, action: int) -> int:
        return self._add(_Node(RETURN, (0, 0), action))

    def test(self, operation: int, word: Word, operand: int, yes: int, no: int) -> int:
        """A comparison, or, if it makes no difference, what it leads to."""
        if word[1] == 0:
            return yes if COMPARISONS[operation](0, operand) else no
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
            if number in found and self.nodes[number].operation != RETURN:
                found.update((self.nodes[number].yes, self.nodes[number].no))
        return sorted(found)


def _tails(graph: Graph, code: Code, ends: Iterable[int]) -> dict[int, int]:
    """The nodes for places where a verdict or a look at an argument is."""
    following_of = dict(steps(code, ends))
    nodes: dict[tuple[int, Word | None], int] = {}
    for place, word in sorted(following_of, key=operator.itemgetter(0), reverse=True):
        operation, _, _, operand = code[place]
        following = [nodes[key] for key in following_of[place, word]]
        if operation == RETURN:
            nodes[place, word] = graph.verdict(operand)
        elif operation in COMPARISONS:
            assert word is not None
            nodes[place, word] = graph.test(operation, word, operand, *following)
        else:
            (nodes[place, word],) = following
    return {end: nodes[end, None] for end in ends}


def steps(code: Code, ends: Iterable[int]) -> Iterator[tuple[tuple[int, Word | None], list[tuple[int, Word | None]]]]:
    """Each place that a tail goes through, with what the accumulator holds there, and what comes next."""
    reached: dict[int, set[Word | None]] = {end: {None} for end in ends}
    for place in range(len(code)):
        for word in reached.pop(place, ()):
            following = _next(code, place, word)
            for there, then in following:
                reached.setdefault(there, set()).add(then)
            yield (place, word), following
    if reached:
        raise NotUnderstoodError


def _next(code: Code, place: int, word: Word | None) -> list[tuple[int, Word | None]]:
    operation, yes, no, operand = code[place]
    if operation == RETURN:
        return []
    if operation == JUMP:
        return [(place + 1 + operand, word)]
    if operation == LOAD and operand not in (NUMBER[0], ARCHITECTURE[0]) and operand < _SIZE and operand % 4 == 0:
        return [(place + 1, (operand, ALL))]
    if operation == AND and word is not None:
        return [(place + 1, (word[0], word[1] & operand))]
    if operation in COMPARISONS and word is not None:
        return [(place + 1 + yes, word), (place + 1 + no, word)]
    raise NotUnderstoodError
