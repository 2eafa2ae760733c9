"""Go's ``printf`` for the verbs that templates use. Pure."""

from __future__ import annotations

import json
import re

from bireme.cli._format._values import number, text, type_name

_VERB = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d+)?)?(?P<verb>.)", re.DOTALL)


def sprint(*values: object) -> str:
    """Values side by side; a space between two of which neither is a text."""
    result = ""
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            result += " "
        result += text(value)
    return result


def sprintln(*values: object) -> str:
    return " ".join(text(value) for value in values) + "\n"


def sprintf(form: str, *values: object) -> str:
    """Raises nothing for a misfit: as Go does, it is shown in place."""
    if not isinstance(form, str):
        raise ValueError(f"expected string; found {text(form)}")
    rest = list(values)

    def fill(match: re.Match[str]) -> str:
        if match["verb"] == "%":
            return "%"
        width = _star(match["width"], rest)
        precision = _star(match["precision"], rest)
        if "." in match.group() and precision is None:
            precision = 0
        if not rest:
            return f"%!{match['verb']}(MISSING)"
        return _field(match["verb"], rest.pop(0), match["flags"], width, precision)

    result = _VERB.sub(fill, form)
    if rest:
        result += "%!(EXTRA " + ", ".join(f"{type_name(value)}={text(value)}" for value in rest) + ")"
    return result


def _star(given: str | None, rest: list[object]) -> int | None:
    if given != "*":
        return int(given) if given else None
    value = rest.pop(0) if rest else None
    return value if isinstance(value, int) else None


def _field(verb: str, value: object, flags: str, width: int | None, precision: int | None) -> str:
    body = _body(verb, value, flags, precision)
    if width is None or len(body) >= width:
        return body
    if "-" in flags:
        return body.ljust(width)
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    if "0" in flags and numeric:
        sign = body[0] if body[0] in "+-" else ""
        return sign + body[len(sign) :].rjust(width - len(sign), "0")
    return body.rjust(width)


def _body(verb: str, value: object, flags: str, precision: int | None) -> str:
    if verb == "v":
        return text(value)
    if verb == "T":
        return type_name(value)
    if verb in "sq" and isinstance(value, (str, list, tuple, dict)):
        cut = text(value)[:precision] if precision is not None else text(value)
        return json.dumps(cut, ensure_ascii=False) if verb == "q" else cut
    if verb == "t" and isinstance(value, bool):
        return text(value)
    if verb in "xX" and isinstance(value, str):
        digits = value.encode().hex()
        return digits.upper() if verb == "X" else digits
    body = _numeric(verb, value, precision)
    if body is None:
        return f"%!{verb}({type_name(value)}={text(value)})"
    sign = "+" if "+" in flags else " " if " " in flags else ""
    return body if body.startswith("-") else sign + body


def _numeric(verb: str, value: object, precision: int | None) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        if verb == "c":
            return chr(value)
        if verb in "dboxX":
            return format(value, verb)
        return f"U+{value:04X}" if verb == "U" else None
    if isinstance(value, float):
        if verb in "fFeE":
            return format(value, f".{6 if precision is None else precision}{verb}")
        if verb in "gG":
            return number(value) if precision is None else format(value, f".{precision}{verb}")
    return None
