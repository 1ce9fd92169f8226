"""The board that events make, its clock, and how it is drawn."""

import io

import pytest
from rich.console import Console

from app.drawing import Bars, Lines
from app.progress import Board, Events


def step(done: int, time: float, total: int = 400, what: str = "stepping") -> dict:
    return {"time": time, "stage": "train", "what": what, "total": total, "unit": "step", "done": done, "note": "loss 0.25"}


def state(name: str, time: float, stage: str = "train") -> dict:
    return {"time": time, "event": "stage", "stage": stage, "state": name}


def board(*events: dict) -> Board:
    made = Board("pneumonia", ["train", "gate fid"])
    for event in events:
        made.apply(event)
    return made


@pytest.mark.parametrize(("already", "left"), [(0, 30.0), (60, 75.0)])
def test_time_left_is_what_remains_at_the_pace_of_this_run(already, left):
    # 100 of 400 are done after 10 s: 300 remain at 10/s, or at 4/s if 60 were done by an earlier run.
    row = board(state("running", 0.0), step(already, 100.0), step(100, 110.0)).rows["train"]
    assert row.left(110.0) == pytest.approx(left)


def test_a_new_step_has_a_pace_of_its_own():
    row = board(step(0, 0.0), step(400, 10.0), step(0, 10.0, what="checking"), step(100, 60.0, what="checking")).rows["train"]
    assert row.left(60.0) == pytest.approx(150.0)


def test_a_stage_takes_the_seconds_between_its_two_events():
    row = board(state("running", 5.0), state("done", 12.5)).rows["train"]
    assert row.elapsed(99.0) == 7.5


def test_events_come_once_each_and_a_torn_line_costs_only_itself(tmp_path):
    path = tmp_path / "events.jsonl"
    events = Events(path)
    assert events.new() == []
    path.write_text('{"a": 1}\n{"b": ')
    assert events.new() == [{"a": 1}]
    with path.open("a") as stream:
        stream.write('2}\n{"torn": {"c": 3}\n{"d": 4}\n')
    assert events.new() == [{"b": 2}, {"d": 4}]
    assert events.new() == []


def drawn(made: Board, **settings) -> str:
    console = Console(file=io.StringIO(), width=120, **settings)
    console.print(Bars(made, console)._draw())
    return console.file.getvalue()


def test_bars_show_each_stage_its_count_and_its_clock():
    text = drawn(board(state("running", 0.0), step(0, 0.0), step(100, 10.0), state("unchanged", 20.0, "gate fid")))
    train, fid = (line.split() for line in text.splitlines())
    assert train[:2] == ["train", "running"]
    assert "100/400 steps" in text
    assert train[-3:] == ["stepping", "loss", "0.25"]
    assert fid[:3] == ["gate", "fid", "unchanged"]


def test_bars_say_that_the_build_is_starting_until_a_stage_speaks():
    assert "starting the build of pneumonia" in drawn(board())
    assert "starting" not in drawn(board(step(0, 0.0)))


def test_no_color_leaves_no_colour_codes(monkeypatch):
    made = board(state("running", 0.0), state("failed", 1.0))
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;31m" in drawn(made, force_terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in drawn(made, force_terminal=True, color_system="standard")


def test_lines_are_one_a_state_and_one_a_tenth_at_most_every_few_seconds(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("app.drawing.time.time", lambda: clock[0])
    console = Console(file=io.StringIO(), width=120)
    made = Board("pneumonia", ["train"])
    with Lines(made, console) as lines:
        lines.event(made.apply(state("running", 0.0)))
        for second in range(0, 101):  # 1 % a second: a tenth every 10 s
            clock[0] = float(second)
            lines.event(made.apply(step(second * 4, clock[0])))
        lines.event(made.apply(state("done", 100.0)))
    said = console.file.getvalue().splitlines()
    assert said[:3] == ["starting the build of pneumonia", "train: running", "train: 5 %, 20/400 steps, 1:35 left, stepping  loss 0.25"]
    assert said[3] == "train: 10 %, 40/400 steps, 1:30 left, stepping  loss 0.25"
    assert said[-1] == "train: done in 1:40"
    assert len(said) == 2 + 11 + 1
