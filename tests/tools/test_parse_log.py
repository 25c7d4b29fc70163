"""Tables of training logs: Caffe's columns, both forms of dates, numbers that are none, logs that are cut."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

import pytest
from rich.text import Text

from caffelite.errors import DataError, MissingFileError
from caffelite.logs.json_lines import format_json
from caffelite.logs.log import Record
from caffelite.logs.terminal import readable
from caffelite.tools.extract_seconds import extract_seconds
from caffelite.tools.parse_log import parse_log, write_columns, write_csv

from .conftest import Run

LOG = """\
I1123 12:22:18.000000 31532 solver.cpp:45] Initializing solver from parameters:
I1123 12:22:18.500000 31532 solver.cpp:289] Solving tiny
I1123 12:22:18.500000 31532 solver.cpp:290] Learning Rate Policy: step
I1123 12:22:18.500000 31532 solver.cpp:347] Iteration 0, Testing net (#0)
I1123 12:22:19.500000 31532 solver.cpp:414]     Test net output #0: accuracy = 0.25
I1123 12:22:19.500000 31532 solver.cpp:414]     Test net output #1: loss = 1.5 (* 1 = 1.5 loss)
I1123 12:22:19.500000 31532 solver.cpp:239] Iteration 0 (-2.21099e-34 iter/s, 0s/5 iters), loss = 1.75
I1123 12:22:19.500000 31532 solver.cpp:258]     Train net output #0: loss = 1.75 (* 1 = 1.75 loss)
I1123 12:22:19.500000 31532 sgd_solver.cpp:112] Iteration 0, lr = 0.1
I1123 12:22:20.750000 31532 solver.cpp:239] Iteration 5 (5 iter/s, 0s/5 iters), loss = 1.25
I1123 12:22:20.750000 31532 solver.cpp:258]     Train net output #0: loss = 1.125 (* 1 = 1.125 loss)
I1123 12:22:20.750000 31532 sgd_solver.cpp:112] Iteration 5, lr = 0.01
I1123 12:22:21.500000 31532 solver.cpp:464] Snapshotting to binary proto file tiny_iter_8.caffemodel
I1123 12:22:21.500000 31532 solver.cpp:347] Iteration 8, Testing net (#0)
I1123 12:22:21.500000 31532 solver.cpp:414]     Test net output #0: accuracy = 0.75
I1123 12:22:21.500000 31532 solver.cpp:414]     Test net output #1: loss = 0.5 (* 1 = 0.5 loss)
I1123 12:22:21.500000 31532 solver.cpp:327] Iteration 8, loss = 1e-05
I1123 12:22:21.500000 31532 solver.cpp:332] Optimization Done.
"""


def write(text: str, name: str = "train.log") -> Path:
    Path(name).write_text(text)
    return Path(name)


def test_old_command_line(run: Run) -> None:
    write(LOG)
    Path("out").mkdir()
    result = run("parse_log.py train.log out --verbose")
    assert (result.code, result.out) == (0, "Wrote out/train.log.train\nWrote out/train.log.test\n")
    assert Path("out/train.log.train").read_text() == (
        "NumIters,Seconds,LearningRate,loss\n0.0,1.0,0.1,1.75\n5.0,2.25,0.01,1.125\n"
    )
    assert Path("out/train.log.test").read_text() == (
        "NumIters,Seconds,LearningRate,accuracy,loss\n0.0,1.0,0.1,0.25,1.5\n8.0,3.0,0.01,0.75,0.5\n"
    )


def test_rate_is_that_of_the_row_s_own_iteration() -> None:
    """Caffe's script would give iteration 5 the rate of iteration 0."""
    assert [row["LearningRate"] for row in parse_log(write(LOG)).train.rows] == [0.1, 0.01]


def test_rate_of_a_test_between_two_displays_is_the_last_one() -> None:
    assert [row["LearningRate"] for row in parse_log(write(LOG)).test.rows] == [0.1, 0.01]


@pytest.mark.parametrize("delimiter", [";", "\\t"])
def test_delimiter(run: Run, delimiter: str) -> None:
    write(LOG)
    assert run("parse_log train.log . --delimiter", delimiter).code == 0
    character = delimiter.replace("\\t", "\t")
    assert (
        Path("train.log.train")
        .read_text()
        .startswith(character.join(["NumIters", "Seconds", "LearningRate"]))
    )


def test_eight_digit_dates_give_the_same() -> None:
    new = parse_log(write(LOG.replace("I1123", "I20261123"), "new.log"))
    old = parse_log(write(LOG, "old.log"))
    assert [table.rows for table in new.all] == [table.rows for table in old.all]


@pytest.mark.parametrize(
    ("text", "value"),
    [("nan", math.nan), ("-nan", math.nan), ("-nan(ind)", math.nan), ("1.#QNAN", math.nan), ("inf", math.inf),
     ("-inf", -math.inf), ("1.#INF", math.inf), ("1e+20", 1e20), ("-0.5", -0.5)],
)  # fmt: skip
def test_numbers_that_cpp_prints(text: str, value: float) -> None:
    log = write(LOG.replace("#0: loss = 1.125", f"#0: loss = {text}"))
    assert parse_log(log).train.rows[1]["loss"] == pytest.approx(value, nan_ok=True)


def test_non_finite_numbers_are_written() -> None:
    log = write(
        LOG.replace("#0: loss = 1.125", "#0: loss = nan").replace("#0: loss = 1.75", "#0: loss = -inf")
    )
    write_csv(parse_log(log), log, ".")
    assert [line.split(",")[-1] for line in Path("train.log.train").read_text().splitlines()[1:]] == [
        "-inf",
        "nan",
    ]


def test_a_single_row_is_kept(run: Run) -> None:
    """Caffe's script drops the only row of a table."""
    log = write(LOG[: LOG.index("I1123 12:22:20.75")])
    assert [len(table.rows) for table in parse_log(log).all] == [1, 1, 1]


def test_a_table_without_rows_is_not_written(run: Run) -> None:
    write("".join(line for line in LOG.splitlines(True) if "Test" not in line))
    assert run("parse_log train.log .").code == 0
    assert Path("train.log.train").exists() and not Path("train.log.test").exists()


def test_a_resumed_run_in_one_log_repeats_iterations() -> None:
    again = LOG[LOG.index("I1123 12:22:20.75") :].replace("12:22:", "13:22:")
    rows = parse_log(write(LOG + again)).train.rows
    assert [row["NumIters"] for row in rows] == [0, 5, 5]
    assert rows[2]["Seconds"] - rows[1]["Seconds"] == 3600


def test_two_test_nets_and_outputs_with_many_values() -> None:
    second = "I1123 12:22:21.600000 1 solver.cpp:347] Iteration 8, Testing net (#1)\n" + "".join(
        f"I1123 12:22:21.600000 1 solver.cpp:414]     Test net output #{n}: {name} = 0.{n}\n"
        for n, name in enumerate(("accuracy", "prob", "prob"))
    )
    table = parse_log(write(LOG + second)).test
    assert table.columns[3:] == ["accuracy", "loss", "accuracy (#1)", "prob (#1)", "prob (#1)#2"]
    assert [row["NumIters"] for row in table.rows] == [0, 8]
    write_csv(parse_log("train.log"), "train.log", ".")
    assert Path("train.log.test").read_text().splitlines()[1].endswith("1.5,,,")


def test_new_year() -> None:
    log = LOG.replace("I1123 12:22:20", "I0101 00:00:20").replace("I1123 12:22:21", "I0101 00:00:21")
    rows = parse_log(write(log.replace("I1123", "I1231").replace("12:22:", "23:59:"))).train.rows
    assert [row["Seconds"] for row in rows] == [1.0, 62.25]


def test_leap_day_whatever_the_file_s_year() -> None:
    rows = parse_log(
        write(LOG.replace("I1123 12:22:20", "I0301 12:22:20").replace("I1123", "I0229"))
    ).train.rows
    assert [row["Seconds"] for row in rows] == [1.0, 86402.25]


def test_lines_cut_short_and_foreign_lines_are_passed_over() -> None:
    noise = "I9999 99:99:99 x\nnot a line\n\xff\nI1123 12:22:22.000000 1 solver.cpp:258]     Train net output #0: loss = 1e-\nI1123 12:2"
    Path("train.log").write_bytes((LOG + noise).encode("latin-1"))
    assert len(parse_log("train.log").train.rows) == 2


def test_columns_of_parse_log_sh(run: Run) -> None:
    write(LOG)
    assert run("parse_log.sh train.log").code == 0
    assert Path("train.log.test").read_text().splitlines() == [
        "#Iters  Seconds   TestAccuracy  TestLoss",
        "0       1.000000  0.25          1.5",
        "8       3.000000  0.75          0.5",
    ]
    assert [line.split() for line in Path("train.log.train").read_text().splitlines()] == [
        ["#Iters", "Seconds", "TrainingLoss", "LearningRate"],
        ["0", "1.000000", "1.75", "0.1"],
        ["5", "2.250000", "1.25", "0.01"],
        ["8", "3.000000", "1e-05", "0.01"],
    ]


@pytest.mark.parametrize(
    ("names", "row"),
    [
        (("loss", "accuracy"), ["1.5", "0.25"]),
        (("top1", "top5"), ["0.25", "1.5"]),
        (("top1", "my_loss"), ["0.25", "1.5"]),
    ],
)
def test_columns_go_by_name_and_else_by_place(names: tuple[str, str], row: list[str]) -> None:
    log = LOG.replace("#0: accuracy", f"#0: {names[0]}").replace(
        "Test net output #1: loss", f"Test net output #1: {names[1]}"
    )
    write_columns(parse_log(write(log)), "train.log", ".")
    assert Path("train.log.test").read_text().splitlines()[1].split()[2:] == row


def test_a_net_with_a_loss_alone_has_no_accuracy() -> None:
    log = "".join(line for line in LOG.splitlines(True) if "accuracy" not in line).replace(
        "#1: loss", "#0: loss"
    )
    write_columns(parse_log(write(log)), "train.log", ".")
    assert Path("train.log.test").read_text().splitlines()[1].split()[2:] == ["nan", "1.5"]


def test_iterations_of_many_digits_stay_whole() -> None:
    write_columns(parse_log(write(LOG.replace("Iteration 5", "Iteration 12345678"))), "train.log", ".")
    assert "\n12345678  " in Path("train.log.train").read_text()


def test_seconds(run: Run) -> None:
    write(LOG)
    assert run("extract_seconds.py train.log seconds.txt").code == 0
    assert Path("seconds.txt").read_text().split() == ["0.000000", "1.000000", "1.000000", "2.250000", "2.250000",
                                                       "3.000000", "3.000000"]  # fmt: skip


def test_seconds_go_with_the_lines_that_grep_iteration_finds() -> None:
    assert extract_seconds(write(LOG), "seconds.txt") == LOG.count("Iteration ")


def test_no_training_in_the_log(run: Run) -> None:
    write("I1123 12:22:18.000000 31532 caffe.cpp:1] Use CPU.\n")
    result = run("parse_log train.log .")
    assert result.code == 3
    assert "log 'train.log': no line with 'Solving'" in result.err and "Fix: " in result.err


def test_a_start_without_a_date() -> None:
    with pytest.raises(DataError, match="line 1 has 'Solving' but no date"):
        parse_log(write("Solving tiny\n"))


def test_what_is_missing_is_told(run: Run) -> None:
    with pytest.raises(MissingFileError, match="log 'absent.log' does not exist"):
        parse_log("absent.log")
    write(LOG)
    result = run("parse_log train.log absent")
    assert result.code == 2 and "mkdir -p 'absent'" in result.err
    for wrong in ("ab", "", '"', "\n"):
        assert run("parse_log train.log . --delimiter", wrong).code == 2


def test_our_own_logs(run: Run) -> None:
    Path("net.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "x" top: "y" dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 2 } }'
        'layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "y" top: "acc" include { phase: TEST } }'
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }'
    )
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" test_iter: 1 test_interval: 2 base_lr: 0.5 lr_policy: "step" gamma: 0.5 stepsize: 1'
        " display: 1 max_iter: 4 random_seed: 1 snapshot_after_train: false"
    )
    for flag in ("", "--log_year_in_prefix", "--log-format json", "--log-format rich"):
        write(run(f"train -solver solver.prototxt {flag}").err)
        tables = parse_log("train.log")
        assert [row["LearningRate"] for row in tables.train.rows] == [0.5, 0.25, 0.125, 0.0625]
        assert [row["NumIters"] for row in tables.test.rows] == [0, 2, 4]
        assert tables.test.columns[3:] == ["acc", "loss"]


@pytest.mark.parametrize(("form", "seconds"), [("json", [1, 2.25]), ("rich", [1, 2])])
def test_our_other_formats(form: str, seconds: list[float]) -> None:
    records = [_record(line) for line in LOG.splitlines()]
    if form == "json":
        text = "\n".join(map(format_json, records)) + '\n{"time": 17'
    else:
        text = "\n".join(Text.from_markup(readable(record)).plain for record in records)
    found, caffes = parse_log(write(text)), parse_log(write(LOG, "caffe.log"))
    for mine, theirs in zip(found.all, caffes.all, strict=True):
        without = [[{**row, "Seconds": 0} for row in table.rows] for table in (mine, theirs)]
        assert without[0] == without[1]
    assert [row["Seconds"] for row in found.losses.rows][:2] == seconds


def _record(line: str) -> Record:
    prefix, text = line.split("] ", 1)
    time = datetime.strptime(f"2026 {prefix[1:21]}", "%Y %m%d %H:%M:%S.%f")
    return Record("message", text, time=time.timestamp())


def test_rich_logs_go_on_after_midnight() -> None:
    rows = parse_log(write("23:59:58  Solving\n00:00:03  Iteration 5, loss = 1")).losses.rows
    assert [row["Seconds"] for row in rows] == [5]


def test_logs_of_bvlc_caffe(shared: Path) -> None:
    tables = parse_log(shared / "golden/logs/train.log")
    assert [(row["NumIters"], row["LearningRate"]) for row in tables.train.rows] == [
        (0, 0.1), (5, 0.1), (10, 0.1), (15, 0.01), (20, 0.01), (25, 0.001)]  # fmt: skip
    assert [(row["NumIters"], row["accuracy"]) for row in tables.test.rows] == [
        (0, 0.333333), (10, 0.333333), (20, 0.333333), (30, 0.333333)]  # fmt: skip
    assert tables.losses.rows[-1]["Loss"] == 1.09944
    assert [row["NumIters"] for row in parse_log(shared / "golden/logs/resume.log").train.rows] == [20, 25]
    with pytest.raises(DataError, match="no line with 'Solving'"):
        parse_log(shared / "golden/logs/no_solver.log")
