"""Go templates: the forms that people use, with what Go prints for them, and Go's words for what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.cli._format import NilList, NilMap, Struct, Template, TemplateError, align, to_json

DATA = Struct(
    Name="/web",
    Id="4a3162e06825",
    Count=3,
    Ratio=0.5,
    Big=12345678901,
    On=True,
    Off=False,
    Nothing=None,
    Empty="",
    State=Struct(Running=True, Pid=12, Status="running"),
    Labels={"a": "b", "com.x": "y z"},
    NoLabels=NilMap(),
    Args=["-c", "x"],
    NoArgs=NilList(),
    Mounts=[Struct(Source="/s1", Destination="/d1", RW=True), Struct(Source="/s2", Destination="/d2", RW=False)],
    Call=lambda name: f"<{name}>",
)


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("plain", "plain"),
        ("{{.Name}} {{.State.Pid}}", "/web 12"),
        ("{{ .Name }}", "/web"),
        ("{{.On}} {{.Off}} {{.Nothing}} {{.Ratio}} {{.Big}}", "true false <nil> 0.5 12345678901"),
        ("{{.Args}} {{.NoArgs}} {{.Labels}} {{.NoLabels}}", "[-c x] [] map[a:b com.x:y z] map[]"),
        ("{{.State}}", "{true 12 running}"),
        ("{{.Labels.a}} {{.Labels.nope}}", "b <no value>"),
        ('{{.Call "x"}}', "<x>"),
        ('{{"x" | .Call}}', "<x>"),
        ("{{json .Args}} {{json .NoArgs}} {{json .NoLabels}}", '["-c","x"] null null'),
        ("{{json .State}}", '{"Running":true,"Pid":12,"Status":"running"}'),
        ('{{json "a\\"<é"}}', '"a\\"<é"'),
        ('{{index .Labels "com.x"}}', "y z"),
        ('{{index .Labels "nope"}}|', "|"),
        ("{{index .Args 1}} {{json (index .Mounts 0).RW}}", "x true"),
        ("{{(index .Mounts 1).Source}}", "/s2"),
        ("{{len .Args}} {{len .NoArgs}} {{len .Labels}} {{len .Name}}", "2 0 2 4"),
        ("{{if .On}}yes{{else}}no{{end}}", "yes"),
        ("{{if .NoArgs}}yes{{else if .Args}}some{{else}}no{{end}}", "some"),
        ("{{if and .On .Empty}}yes{{else}}no{{end}} {{or .Empty .Name}}", "no /web"),
        (
            "{{if not .Off}}x{{end}}{{if eq .Count 3}}y{{end}}{{if eq .Name `a` `/web`}}z{{end}}",
            "xyz",
        ),
        (
            "{{if gt .Count 2}}a{{end}}{{if le .Count 3}}b{{end}}{{if ne .Count 3}}c{{end}}{{if ge .Id `4`}}d{{end}}",
            "abd",
        ),
        ("{{range .Mounts}}{{.Source}}:{{.Destination}}{{println}}{{end}}", "/s1:/d1\n/s2:/d2\n"),
        ("{{range $i, $m := .Mounts}}{{$i}}={{$m.Source}} {{end}}", "0=/s1 1=/s2 "),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=b;com.x=y z;"),
        ("{{range .NoArgs}}x{{else}}none{{end}}", "none"),
        ("{{range .Args}}{{.}}{{break}}{{end}}", "-c"),
        ('{{range .Args}}{{if eq . "-c"}}{{continue}}{{end}}{{.}}{{end}}', "x"),
        ("{{range .Mounts}}{{$.Name}} {{end}}", "/web /web "),
        ("{{with .State}}{{.Pid}}{{end}}{{with .Empty}}x{{else}}-{{end}}", "12-"),
        ("{{$x := .Count}}{{$x}}{{$x = 4}}{{$x}}", "34"),
        ('{{printf "%s-%d-%v-%q" .Name .Count .On .Id}}', '/web-3-true-"4a3162e06825"'),
        ('{{printf "%-8s|%5d|%05d|%.3s|%x" .Name .Count .Count .Id .Count}}', "/web    |    3|00003|4a3|3"),
        ('{{printf "%d" .Name}} {{printf "%s"}} {{printf "x" 1}}', "%!d(string=/web) %!s(MISSING) x%!(EXTRA int=1)"),
        ("{{print .Count .Count .Name}}|{{println .Count .Name}}", "3 3/web|3 /web\n"),
        ('{{join .Args ", "}} {{upper .Name}} {{lower "AB"}} {{title "ab cd"}}', "-c, x /WEB ab Ab Cd"),
        ('{{split "a:b" ":"}} {{truncate .Id 4}} {{pad .Name 1 2}}|', "[a b] 4a31  /web  |"),
        ('{{slice .Id 1 3}} {{html "<&>"}} {{urlquery "a b/"}}', "a3 &lt;&amp;&gt; a+b%2F"),
        ("{{.Name | printf `%s!` | len}}", "5"),
        ("{{/* a comment */}}x", "x"),
        ("a  {{- .Count -}}  b", "a3b"),
        ("a {{- /* c */ -}} b", "ab"),
        ("{{true}} {{1_000}} {{0x1f}} {{'a'}} {{`raw\\n`}}", "true 1000 31 97 raw\\n"),
        ('{{"\\u00e9\\t\\x41"}}', "é\tA"),
    ],
)
def test_what_go_prints(source: str, result: str) -> None:
    assert Template(source).render(DATA) == result


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("{{.Name}", "template: :1: bad character U+007D '}'"),
        ("{{.Name", "template: :1: unclosed action"),
        ("{{foo}}", 'template: :1: function "foo" not defined'),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{if .On}}x", "template: :1: unexpected EOF"),
        ("{{}}", 'template: :1: missing value for command, found "}}"'),
        ('{{printf "x}}', "template: :1: unterminated quoted string"),
        ("{{$x}}", 'template: :1: undefined variable "$x"'),
        ("{{break}}", "template: :1: {{break}} outside {{range}}"),
        ("{{/* x", "template: :1: unclosed comment"),
        ("{{.A | 1}}", "template: :1: non executable command in pipeline stage 2"),
        ("\n{{(.A}}", "template: :2: unclosed left paren"),
        ("{{''}}", "template: :1: unterminated character constant"),
        ("{{'ab'}}", "template: :1: malformed character constant: 'ab'"),
    ],
)
def test_what_is_no_template(source: str, complaint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source)
    assert str(caught.value) == complaint


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("{{.Foo}}", 'template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo"'),
        ("{{.State.Foo}}", 'template: :1:8: executing "" at <.State.Foo>: map has no entry for key "Foo"'),
        ("x\n  {{.Name.X}}", 'template: :2:9: executing "" at <.Name.X>: can\'t evaluate field X in type string'),
        ("{{index .Args 5}}", 'template: :1:2: executing "" at <index>: error calling index: index out of range: 5'),
        ("{{len .Count}}", 'template: :1:2: executing "" at <len>: error calling len: len of type int'),
        ("{{range .Name}}{{end}}", 'template: :1:8: executing "" at <.Name>: range can\'t iterate over /web'),
        (
            "{{if eq .Count .Name}}{{end}}",
            'template: :1:5: executing "" at <eq>: error calling eq: incompatible types for comparison',
        ),
        ("{{.Nothing.X}}", 'template: :1:10: executing "" at <.Nothing.X>: nil pointer evaluating interface {}.X'),
        (
            '{{.Name "x"}}',
            'template: :1:2: executing "" at <.Name>: Name has arguments but cannot be invoked as function',
        ),
    ],
)
def test_what_does_not_fit_the_data(source: str, complaint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source).render(DATA)
    assert str(caught.value) == complaint


@given(st.text())
def test_any_text_is_a_template_or_said_to_be_none(source: str) -> None:
    try:
        Template(source).render(DATA)
    except TemplateError:
        return


@given(st.text(alphabet="{}.$|()\"`'- abAgein/*\n", max_size=30))
def test_so_is_what_looks_like_one(source: str) -> None:
    try:
        Template("{{" + source + "}}").render(DATA)
    except TemplateError:
        return


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_json(value: object) -> None:
    import json

    assert json.loads(to_json(value)) == value


def test_columns_are_lined_up() -> None:
    assert align("A\tLONGER TITLE\tC\n1\t2\t3\n") == "A         LONGER TITLE   C\n1         2              3\n"
    assert align("x\t\ty\n", minimum=3) == "x   y\n"
    assert align("no tabs\n") == "no tabs\n"


@given(st.lists(st.lists(st.text(alphabet="ab", max_size=12), min_size=3, max_size=3), min_size=1))
def test_a_column_begins_at_one_place_in_all_its_lines(rows: list[list[str]]) -> None:
    marked = [[cell + "|" for cell in row] for row in rows]
    lines = align("".join("\t".join(row) + "\n" for row in marked)).splitlines()
    places = {
        line.index("|", max(10, line.index("|") + 1)) - len(row[1]) for line, row in zip(lines, rows, strict=True)
    }
    assert len(places) == 1
