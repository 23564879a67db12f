"""The named logs: switched on by name, silent otherwise, and out of the way of the program's own logging."""

import logging

import pytest

from graphwright.base.config import config
from graphwright.base.errors import ConfigError
from graphwright.base.logging import LogName, apply_logs, log, set_logs


@pytest.fixture(autouse=True)
def logs_as_before():
    with config.patch(logs=config.logs):
        yield
    apply_logs(config.logs)


def test_chosen_log_is_on_and_the_others_are_off():
    set_logs(guards=True)

    is_on = {name for name in LogName if log(name).isEnabledFor(logging.INFO)}
    assert is_on == {LogName.GUARDS}
    assert config.logs == "guards"


def test_a_second_choice_replaces_the_first():
    set_logs(guards=True)
    set_logs(aten=True, graph=False)

    assert not log(LogName.GUARDS).isEnabledFor(logging.INFO)
    assert log(LogName.ATEN).isEnabledFor(logging.INFO)


def test_names_from_a_text_may_have_spaces_and_gaps():
    apply_logs(" guards, ,schedule")

    assert log(LogName.SCHEDULE).isEnabledFor(logging.INFO)


def test_unknown_log_is_an_error_that_names_the_nearest():
    with pytest.raises(ConfigError) as caught:
        set_logs(recompile=True)

    assert caught.value.nearest == "recompiles"


def test_log_is_printed_when_the_program_has_no_logging(monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    set_logs(guards=True)

    log(LogName.GUARDS).info("one guard")
    log(LogName.ATEN).info("not asked for")

    assert capsys.readouterr().err == "[graphwright.guards] one guard\n"


def test_log_is_left_to_the_program_when_it_has_logging(caplog, capsys):
    set_logs(guards=True)

    log(LogName.GUARDS).info("one guard")

    assert caplog.messages == ["one guard"]
    assert capsys.readouterr().err == ""


def test_level_that_the_program_set_is_left_alone():
    logger = log(LogName.SCHEDULE)
    logger.setLevel(logging.INFO)
    try:
        set_logs(guards=True)
        set_logs(aten=True)

        assert logger.isEnabledFor(logging.INFO)
    finally:
        logger.setLevel(logging.NOTSET)
