"""Progress and verbosity on standard error."""

import json
import logging

import click
import pytest
from click.testing import CliRunner
from georeg_cli.console import progress_option, reporting, verbosity_options


@click.command()
@progress_option
@verbosity_options
def work(progress):
    logging.getLogger("georeg.some.room").warning("mind this")
    logging.getLogger("georeg.some.room").info("doing that")
    with reporting(progress) as show:
        show("tiles", 1, 2, "half")
        show("tiles", 2, 2, "all")
        show("write", 1, 0, "")
    click.echo("result")


def said(*arguments):
    done = CliRunner().invoke(work, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout == "result\n"
    return done.stderr


def test_json_lines_are_for_machines():
    lines = [json.loads(line) for line in said("--progress", "json", "-q").splitlines()]
    assert lines[0] == {"stage": "tiles", "done": 1, "total": 2, "message": "half"}
    assert [line["stage"] for line in lines] == ["tiles", "tiles", "write"]


@pytest.mark.parametrize("mode", ["auto", "none"])
def test_without_a_terminal_there_is_no_bar(mode):
    assert said("--progress", mode, "-q") == ""


def test_a_bar_when_it_is_asked_for():
    bar = said("--progress", "bar", "-q")
    assert "tiles: 100%" in bar
    assert "write" in bar


def test_progress_without_a_bar_is_in_the_log():
    assert "tiles 1/2 half" in said("-v")
    assert "write 1" in said("-v", "--progress", "none")
    assert "tiles 1/2 half" not in said("-v", "--progress", "json")


def test_verbosity():
    assert "mind this" in said()
    assert "doing that" not in said()
    assert "doing that" in said("-v")
    assert said("-q") == ""
