"""``--change``: instructions as a Dockerfile has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.images._words import expand, split_words
from bireme.images.changes import apply_changes
from bireme_actors import InvalidConfig


@pytest.mark.parametrize(
    ("line", "env"),
    [
        ("ENV a=b", ("a=b",)),
        ('ENV a=b c="d e"', ("a=b", "c=d e")),
        ("ENV a b", ("a=b",)),
        ("ENV a b c  d", ("a=b c  d",)),
        ('ENV a "b c"', ("a=b c",)),
        (r"ENV a=b\ c d='e $f' g=\"", ("a=b c", "d=e $f", 'g="')),
        ('ENV a="x\\"y" b="\\n"', ('a=x"y', "b=\\n")),
        ("env\ta=b", ("a=b",)),
        ("ENV a=b=c d=", ("a=b=c", "d=")),
        ("ENV a=b \\\n    c=d", ("a=b", "c=d")),
    ],
)
def test_env(line: str, env: tuple[str, ...]) -> None:
    assert apply_changes([line]).env == env


def test_env_puts_in_what_was_set_before_and_not_what_is_set_beside() -> None:
    config = apply_changes(["ENV a=1 b=$a", "ENV c=$a-${a}-${x:-y}-${a:+z}${x:+z} d='$a' e=\\$a", "ENV a=2"])
    assert config.env == ("a=2", "b=", "c=1-1-y-z", "d=$a", "e=$a")


@pytest.mark.parametrize(
    ("line", "cmd"),
    [
        ('CMD ["a", "b c"]', ("a", "b c")),
        ("CMD echo $HOME 'x  y'", ("/bin/sh", "-c", "echo $HOME 'x  y'")),
        ("CMD []", ()),
        ("CMD [ -f x ] && y", ("/bin/sh", "-c", "[ -f x ] && y")),
        ('cmd ["é"]', ("é",)),
    ],
)
def test_commands_in_both_forms(line: str, cmd: tuple[str, ...]) -> None:
    assert apply_changes([line]).cmd == cmd
    assert apply_changes([line.replace("CMD", "ENTRYPOINT").replace("cmd", "entrypoint")]).entrypoint == (cmd or None)


def test_everything_else() -> None:
    config = apply_changes(
        [
            "USER postgres:postgres",
            "WORKDIR /a",
            "WORKDIR b/../c",
            'VOLUME ["/v w", "/x"]',
            "VOLUME /y /x",
            "EXPOSE 80 443/tcp 53/udp 8000-8002",
            'LABEL a.b=c "d e"="f g"',
            "STOPSIGNAL SIGINT",
            "# a remark",
            "",
        ]
    )
    assert (config.user, config.working_dir) == ("postgres:postgres", "/a/c")
    assert config.volumes == ("/v w", "/x", "/y")
    assert config.exposed_ports == ("443/tcp", "53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp")
    assert dict(config.labels) == {"a.b": "c", "d e": "f g"}
    assert config.stop_signal == "SIGINT"


@pytest.mark.parametrize("name", ["SIGTERM", "term", "15", "SIGRTMIN+3", "RTMAX-1"])
def test_signals_that_exist(name: str) -> None:
    assert apply_changes([f"STOPSIGNAL {name}"]).stop_signal == name


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("FROM busybox", "from is not a valid change command"),
        ("RUN true", "run is not a valid change command"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV a", "ENV must have two arguments"),
        ("ENV a=b c", "can't find = in 'c'"),
        ("ENV =b", "names can not be blank"),
        ("LABEL =b", "names can not be blank"),
        ('CMD ["a", 1]', "arrays must be comprised of strings only"),
        ('VOLUME [""]', "can not be an empty string"),
        ("EXPOSE x", "invalid containerPort: x"),
        ("EXPOSE 0", "invalid containerPort: 0"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("EXPOSE 9-8", "invalid containerPort: 9-8"),
        ("STOPSIGNAL SIGNOPE", "invalid signal: SIGNOPE"),
        ("STOPSIGNAL 99", "invalid signal: 99"),
        ('ENV a="b', "looking for matching"),
        ("ENV a='b", "looking for matching"),
        ("ENV a=${b", "looking for matching|modifier"),
        ("ENV a=${b:-c", "looking for matching"),
        ("ENV a=${}", "bad substitution"),
        ("ENV a=${b:?gone}", "b: gone"),
        ("ENV a=${b^}", "modifier"),
        ("USER a\0b", "NUL"),
        ("USER a\udcffb", "not valid UTF-8"),
    ],
)
def test_a_refusal_names_what_is_wrong(line: str, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        apply_changes([line])


def test_substitutions_that_nest_without_end_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="too deeply"):
        expand("${a:-" * 50 + "}" * 50, {})


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40))
def test_a_quoted_value_comes_out_as_it_went_in(value: str) -> None:
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
    assert split_words(f"a={quoted} b=c") == [f"a={quoted}", "b=c"]
    assert expand(quoted, {}) == value


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    for instruction in ("ENV", "LABEL", "CMD", "VOLUME", "EXPOSE", "WORKDIR", "USER", "STOPSIGNAL", "ENTRYPOINT"):
        try:
            apply_changes([f"{instruction} {text}"])
        except InvalidConfig as error:
            assert str(error)  # noqa: PT017 (only when it was refused)
