"""Texts into which numbers are written that a capture does not fix: handed on, printed, joined, looked at, and wrong."""

import logging

from program_cases import Topic, again, call, t

TOPIC = Topic("late_texts")
LOGGER = logging.getLogger("late_texts")
FLOATS = (
    call(t(3), 0.5),
    call(t(3), 1.25),
    *[again(t(3), number) for number in (2.5, -3.75, 1e30)],
)
INTS = (call(t(3), 5), call(t(3), 6), *[again(t(3), number) for number in (7, 12, 100)])
TENSORS = (call(t(3)), call(t(3)), again(t(3)), again(t(3)))


@TOPIC.program(*FLOATS)
def floats_in_f_strings(x, rate):
    return x * rate, f"rate={rate}", f"{rate!r:>12}|{rate:.3e}|{rate * 2 + 1:+8.2f}", f"{rate:.2%}"


@TOPIC.program(*FLOATS)
def floats_in_other_texts(x, rate):
    made = ["%.2f and %s" % (rate, "more"), "%5.1f%%" % rate, "%r %d" % (rate, 3)]
    made += ["{} {:>8.2f} {name!s}".format(rate, rate, name=rate), str(rate) + "!", repr(rate)]
    return x * rate, made, ", ".join(made)


@TOPIC.program(*FLOATS)
def texts_of_containers_of_floats(x, rate):
    table = {"rate": rate, "parts": [rate, (rate, 2)]}
    return x * rate, str(table), f"{[rate, 'a']}", "%s" % ([rate],)


@TOPIC.program(*INTS)
def ints_in_texts(x, step):
    return (
        x * step,
        f"step {step:03d}: {step + 1}",
        "%d of %5d" % (step, 100),
        f"{step:x} {step!s:>6}",
    )


@TOPIC.program(*TENSORS)
def numbers_of_tensors_in_texts(x):
    loss = x.square().mean().item()
    count, is_large = (x > 0).sum().item(), (x.sum() > 0).item()
    return f"{loss:.1f} of {count} {is_large}", {"loss": f"{loss / 3:.0f}"}, "%d" % count, x + 1


@TOPIC.program(*TENSORS)
def tensors_of_one_number_in_texts(x):
    loss = x.square().mean()
    return f"{loss:.1f} {loss.long()} {(loss > 0)}", "{:>8.0f}".format(loss), x + 1


@TOPIC.program(call(t(3, grad=True)), call(t(3, grad=True)), again(t(3, grad=True)))
def losses_in_texts(x):
    loss = x.square().mean()
    return f"loss {loss:.1f}", loss * 2


@TOPIC.program(*TENSORS, is_one_graph=False)
def tensors_whose_text_is_not_a_number(x):
    try:
        return f"{x:.1f}", x
    except TypeError as error:
        return str(error)


@TOPIC.program(*TENSORS, is_one_graph=False)
def tensors_written_to_after_their_text(x):
    total = x.sum()
    shown = f"{total:.0f}"
    total.add_(100)
    return shown, total


@TOPIC.program(*TENSORS, is_one_graph=False)
def printed_every_step(x):
    total = 0.0
    for step, part in enumerate((x, x * 2, x + 1)):
        loss = part.square().sum()
        total += loss.item()
        print(f"step {step}: {loss.item():.1f}, {total / (step + 1):.1f}")
    print("total", "%.0f" % total)
    return x * 2


@TOPIC.made(*[call(t(3), 0.5 * n) for n in range(1, 6)], is_one_graph=False)
def logged():
    seen = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    logger = logging.Logger("own", logging.INFO)
    logger.addHandler(handler)

    def program(x, rate):
        y = x * rate
        logger.info(f"rate {rate:.2f}")
        logger.info("mean %.1f at %s", y.mean().item(), rate)
        logger.debug(f"not shown {rate}")
        return y

    return program, seen


@TOPIC.program(call(t(3), 0.5), call(t(3), 10.25), call(t(3), 0.75))
def texts_looked_at(x, rate):
    shown = f"{rate:.2f}"
    table = {shown: x}
    return len(shown), shown == "0.50", table[shown] * 2, shown.split("."), shown in "0.50 0.75"


@TOPIC.program(call(t(3), 5), call(t(4), 6), call(t(5), 7))
def texts_of_sizes_looked_at(x, step):
    return {f"size {x.shape[0]}": x, f"step {step}"[-1]: step}


@TOPIC.program(*FLOATS)
def type_of_a_text(x, rate):
    shown = f"{rate}"
    return x + rate, isinstance(shown, str), type(shown) is str, shown


@TOPIC.program(*TENSORS, is_one_graph=False)
def numbers_of_tensors_looked_at(x):
    shown = f"{x.abs().sum().item():.0f}"
    return x * len(shown), shown.isdigit()


@TOPIC.program(call(t(3), 0.5), call(t(3), 0.75), call(t(3), 0.25), is_one_graph=False)
def what_cannot_be_written_so(x, rate):
    y = x * rate
    try:
        return f"{rate:d}"
    except ValueError as error:
        return str(error), y


@TOPIC.program(*FLOATS[:3], is_one_graph=False)
def joined_with_what_is_no_text(x, rate):
    return ", ".join([f"{rate}", rate])


@TOPIC.program(call(t(3), 0.5), call(t(3), 0.75), call(t(3), 0.25), is_one_graph=False)
def raised_with_a_number(x, rate):
    if x.shape[0] == 3:
        raise ValueError(f"the rate {rate} and {rate:.1f}")


@TOPIC.program(call(t(3), 0.5), call(t(3), 0.75), call(t(3), float("nan")), call(t(3), 1.0))
def ints_written_of_floats(x, rate):
    try:
        return x + 1, "%d" % rate
    except ValueError as error:
        return str(error)


@TOPIC.made(*[call(t(3), 0.5 * n) for n in range(1, 6)])
def kept_by_an_object():
    class Report:
        def __init__(self):
            self.lines = []

        def __str__(self):
            return " / ".join(self.lines)

    report = Report()

    def program(x, rate):
        report.lines.append(f"{rate:.1f}")
        report.last = f"last {rate}"
        return x * rate

    return program, report
