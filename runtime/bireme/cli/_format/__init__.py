"""``--format``: the Go templates that Docker's users write, and tables made of them. Pure."""

from __future__ import annotations

from bireme.cli._format._errors import TemplateError
from bireme.cli._format._execute import Execution
from bireme.cli._format._functions import FUNCTIONS, HEADER_FUNCTIONS
from bireme.cli._format._parse import parse_template
from bireme.cli._format._table import align
from bireme.cli._format._values import MISSING, NilList, NilMap, Struct, to_json

__all__ = ["MISSING", "NilList", "NilMap", "Struct", "Template", "TemplateError", "align", "to_json"]


class Template:
    """A parsed template; ``render`` it as often as there are values. Raises TemplateError."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._nodes = parse_template(source, FUNCTIONS)

    def render(self, data: object) -> str:
        """Raises TemplateError where the data does not fit."""
        return Execution(self._source, FUNCTIONS, data).run(self._nodes)

    def render_header(self, titles: object) -> str:
        """The head of a table: functions that would change a value leave a title alone."""
        return Execution(self._source, HEADER_FUNCTIONS, titles).run(self._nodes)
