"""One way for every list: a template or the default table, applied to rows of named fields. Pure."""

from __future__ import annotations

from bireme.cli._errors import CliError
from bireme.cli._format import Struct, Template, TemplateError, align

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_TABLE = "table"
_BAD_TEMPLATE = 64


class Row(Struct):
    """The fields of one thing on a list."""

    kind = "*formatter.Context"


def render(form: str, default: str, titles: Mapping[str, str], rows: Iterable[Row]) -> str:
    """The list as text. ``form`` is what ``--format`` says (or empty), ``default`` the template behind ``table``.

    The rows are asked for once the template is known to be one.

    Raises CliError where the template is wrong or names a field that is not there.
    """
    lined_up, source = _source(form, default)
    template = _parse(source)
    try:
        lines = [template.render(row) for row in rows]
        if not lined_up:
            return "".join(line + "\n" for line in lines)
        return align("".join(line + "\n" for line in [template.render_header(Row(titles)), *lines]))
    except TemplateError as error:
        raise CliError(f"failed to execute template: {error}") from None


def render_each(form: str, values: Iterable[object]) -> Iterator[str]:
    """``form`` applied to one value after the other, a line each as the values come. Raises CliError."""
    try:
        template = Template("{{json .}}" if form == "json" else form)
    except TemplateError as error:
        raise CliError(f"template parsing error: {error}", _BAD_TEMPLATE) from None
    for value in values:
        try:
            yield template.render(value) + "\n"
        except TemplateError as error:
            raise CliError(f"template parsing error: {error}") from None


def _source(form: str, default: str) -> tuple[bool, str]:
    if form == "json":
        return False, "{{json .}}"
    if form in ("", _TABLE):
        return True, default
    lined_up = form.startswith((f"{_TABLE} ", f"{_TABLE}{{"))
    source = form[len(_TABLE) :].strip(" ") if lined_up else form
    return lined_up, source.replace("\\t", "\t").replace("\\n", "\n")


def _parse(source: str) -> Template:
    """Raises CliError."""
    try:
        return Template(source)
    except TemplateError as error:
        raise CliError(f"failed to parse template: {error}") from None
