"""The structured trace: records for whoever listens, and one file of JSON lines for each process."""

import json
import logging
import os

import pytest

from graphwright.observe import TRACE_LOGGER, Observer, apply_trace, emit_trace, is_tracing


@pytest.fixture(autouse=True)
def no_trace_afterwards():
    yield
    apply_trace("")


class Listener(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def listener():
    handler = Listener()
    logging.getLogger(TRACE_LOGGER).addHandler(handler)
    yield handler
    logging.getLogger(TRACE_LOGGER).removeHandler(handler)


def lines_in(folder):
    (file,) = folder.iterdir()
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_nothing_is_traced_without_a_listener():
    assert not is_tracing()


def test_a_users_handler_gets_records_with_metadata_and_payload(listener):
    emit_trace("artifact", "graph", {"compile_id": "0/0"}, payload="the text")

    (record,) = listener.records
    assert record.payload == "the text"
    assert record.metadata["kind"] == "artifact"
    assert record.metadata["name"] == "graph"
    assert record.metadata["compile_id"] == "0/0"
    assert record.metadata["pid"] == os.getpid()


def test_records_stay_out_of_the_programs_ordinary_logs(listener, caplog):
    emit_trace("event", "fallback", {})

    assert caplog.records == []


def test_folder_gets_one_file_of_json_lines(tmp_path):
    observer = Observer("0/0")
    apply_trace(str(tmp_path / "traces"))
    with observer.span("capture"):
        observer.artifact("graph", lambda: "text\nof two lines")
    observer.event("fallback", reason="a print")

    lines = lines_in(tmp_path / "traces")

    assert [(line["kind"], line["name"]) for line in lines] == [
        ("artifact", "graph"),
        ("span", "capture"),
        ("event", "fallback"),
    ]
    assert lines[0]["payload"] == "text\nof two lines"
    assert lines[1]["elapsed_ns"] >= 0
    assert lines[2]["reason"] == "a print"


def test_same_folder_again_goes_on_in_the_same_file(tmp_path):
    apply_trace(str(tmp_path))
    emit_trace("event", "first", {})
    apply_trace(str(tmp_path))
    emit_trace("event", "second", {})

    assert [line["name"] for line in lines_in(tmp_path)] == ["first", "second"]


def test_forked_process_writes_a_file_of_its_own(tmp_path):
    apply_trace(str(tmp_path))
    emit_trace("event", "parent", {})

    child = os.fork()
    if child == 0:
        emit_trace("event", "child", {})
        os._exit(0)
    os.waitpid(child, 0)

    names = [json.loads(file.read_text())["name"] for file in tmp_path.iterdir()]
    assert sorted(names) == ["child", "parent"]


def test_folder_that_cannot_be_written_warns_once(tmp_path):
    (tmp_path / "file").write_text("in the way")
    apply_trace(str(tmp_path / "file"))

    with pytest.warns(UserWarning, match="trace cannot be written"):
        emit_trace("event", "first", {})

    # A second warning would be an error here.
    emit_trace("event", "second", {})
