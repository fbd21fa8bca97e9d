"""What a benchmark measured is written where it is told, and read again."""

from pathlib import Path

from benchmarks import command


def test_a_result_is_written_into_a_new_folder_and_read_again(tmp_path):
    out = tmp_path / "new" / "result.json"
    assert command.read(out) == {}
    command.write(out, {"a": [1, 2]})
    assert command.read(out) == {"a": [1, 2]}


def test_the_file_is_in_the_reports_unless_another_is_named(tmp_path):
    parser = command.parser("What it does.", "x.json")
    assert parser.parse_args([]).out == Path("reports/benchmarks/x.json")
    assert parser.parse_args(["y.json"]).out == Path("y.json")
    assert command.parser(None, tmp_path / "z.json").parse_args([]).out == tmp_path / "z.json"
