"""The observer: spans and artifacts as data, made only when somebody reads them."""

import logging

import pytest

from graphwright.base.config import config
from graphwright.base.logging import apply_logs, set_logs
from graphwright.observe import Observer


@pytest.fixture(autouse=True)
def logs_as_before():
    with config.patch(logs=config.logs):
        yield
    apply_logs(config.logs)


def test_spans_are_kept_in_the_order_they_were_begun_with_their_depth():
    observer = Observer()

    with observer.span("compile"):
        with observer.span("capture"):
            pass
        with observer.span("lower"):
            pass

    assert [(span.name, span.depth) for span in observer.spans] == [
        ("compile", 0),
        ("capture", 1),
        ("lower", 1),
    ]
    outer, *inner = observer.spans
    assert outer.elapsed_ns >= sum(span.elapsed_ns for span in inner)


def test_span_is_kept_when_its_block_raises():
    observer = Observer()

    with pytest.raises(KeyError), observer.span("capture"):
        raise KeyError
    with observer.span("next"):
        pass

    assert [(span.name, span.depth) for span in observer.spans] == [("capture", 0), ("next", 0)]


def test_artifact_is_not_made_when_nobody_reads_it():
    observer = Observer()

    observer.artifact("output_code", lambda: pytest.fail("made for nobody"))

    assert observer.artifacts == ()


def test_artifact_is_kept_when_asked_for():
    observer = Observer(keeps=["anything"])

    observer.artifact("anything", lambda: "text")
    observer.artifact("other", lambda: pytest.fail("made for nobody"))

    assert [(item.name, item.text) for item in observer.artifacts] == [("anything", "text")]


def test_artifact_with_a_log_is_printed_there(caplog):
    set_logs(output_code=True)
    observer = Observer("3/1")

    with caplog.at_level(logging.INFO):
        observer.artifact("output_code", lambda: "def call(): ...")

    assert caplog.messages == ["3/1 output_code\ndef call(): ..."]
    assert observer.artifacts == ()


def test_settings_of_logs_and_trace_are_in_force_from_the_next_observer_on(tmp_path, caplog):
    with config.patch(logs="schedule", trace=str(tmp_path)):
        observer = Observer("0/0")
        observer.artifact("schedule", lambda: "for i: ...")
    Observer("0/1").artifact("schedule", lambda: pytest.fail("made for nobody"))

    assert caplog.messages == ["0/0 schedule\nfor i: ..."]
    (file,) = tmp_path.iterdir()
    assert '"for i: ..."' in file.read_text()
