"""The docs say what the repository is: links, paths, commands, parameters, examples and tables."""

import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

import catwise
from catwise.__main__ import MODULES
from catwise.claims.paper import STATEMENTS
from docs import measured, project, results
from docs.generate import PROJECT, example_renewed, pages, renewed
from docs.tables import table

README = Path("README.md")
BLOCKS = ("README.md", "docs/own-data.md")  # each has one block of Python, the second after it
PAGES = [README, Path("CONTRIBUTING.md"), Path("reports/measured/README.md")]
PAGES += sorted(Path("docs").glob("*.md"))
TEXTS = {page.as_posix(): page.read_text() for page in PAGES}
PARAMS = yaml.safe_load(Path("params.yaml").read_text())


@pytest.fixture(params=sorted(TEXTS))
def page(request):
    return Path(request.param)


def commands(text: str) -> list[str]:
    """List the lines of all shell blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line] + re.findall(r"`((?:make|catwise|dvc) [^`]*)`", text)


def anchors(text: str) -> set[str]:
    """List the anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {word.replace(" ", "-") for word in words}


@pytest.mark.slow
def test_what_follows_from_the_repository_is_up_to_date():
    for path, text in pages(PROJECT).items():
        assert text == path.read_text(), f"{path}: run `make readme`"


def test_the_example_of_the_readme_prints_what_it_says():
    text = README.read_text()
    assert example_renewed(text) == text, "run `make readme`"


@pytest.mark.slow
def test_the_training_function_of_the_docs_calibrates_the_verdict(capsys):
    codes = [re.search(r"```python\n(.*?)```", TEXTS[name], re.DOTALL)[1] for name in BLOCKS]
    namespace = {}
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for code in codes:
            exec(code, namespace)
    assert namespace["checked"].verdict.predicts_each
    assert capsys.readouterr().out.count("verdict: ") == 2


def test_the_readme_shows_the_example_early_and_is_read_in_one_sitting():
    text = README.read_text()
    assert text[: text.index("<!-- /example -->")].count("\n") < 70
    assert len(text.encode()) <= 9 * 1024


def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page.as_posix()]):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked.read_text()), target


def test_every_path_that_is_named_exists(page):
    """Folders that a run makes are left out."""
    folders = r"catwise|stages|benchmarks|examples|tests|docs|\.ci"
    for named in re.findall(rf"`((?:{folders})/[\w./]*)`", TEXTS[page.as_posix()]):
        assert Path(named).exists(), named


def test_every_command_that_is_named_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", Path("Makefile").read_text(), re.MULTILINE))
    modules = {path.stem for path in Path("stages").glob("*.py")}
    for command in commands(TEXTS[page.as_posix()]):
        program, *words = command.split()
        if program == "make":
            assert set(words[:1]) <= targets, command
        if program == "catwise":
            assert words[0] in MODULES, command
        if command.startswith("python -m stages."):
            assert words[1].removeprefix("stages.") in modules, command
        if program == "dvc" and words[0] == "repro" and len(words) > 1:
            assert words[1].partition("@")[0] in project.pipeline(), command


def test_every_parameter_that_a_command_sets_exists(page):
    for key in re.findall(r"-S '([\w.]+)=", TEXTS[page.as_posix()]):
        node = PARAMS
        for part in key.split("."):
            node = node[part]


def test_every_data_set_that_a_command_names_exists(page):
    for name in re.findall(r"DATASET=(\w+)", TEXTS[page.as_posix()]):
        assert name in PARAMS["datasets"] or name == "DATASET", name


def test_the_reference_has_every_public_name():
    listed = re.findall(r"^::: catwise\.(\w+)$", TEXTS["docs/reference.md"], re.MULTILINE)
    assert sorted(listed) == sorted(set(catwise.__all__) - {"__version__"})


def test_every_page_is_in_the_menu():
    menu = Path("mkdocs.yml").read_text()
    for page in Path("docs").glob("*.md"):
        assert f": {page.name}\n" in menu, page.name


def test_a_missing_marker_is_named():
    with pytest.raises(ValueError, match="expected one block nothing; got 0"):
        renewed(README.read_text(), "nothing", "")


def test_renewing_twice_changes_nothing_more():
    once = renewed("<!-- a -->\nold\n<!-- /a -->\n", "a", "new")
    assert once == "<!-- a -->\nnew\n<!-- /a -->\n"
    assert renewed(once, "a", "new") == once


@pytest.mark.slow
def test_the_graph_leaves_out_what_a_longer_way_says():
    lines = project.graph().splitlines()
    assert "  train --> curvature" in lines
    assert not any("train & influence" in line for line in lines)


def test_what_was_measured_with_other_parameters_is_listed():
    old = {"train": {"model": "cnn", "precision": "float32"}, "subsets": {"halves": 10}}
    new = {
        "train": {"model": "cnn", "precision": "auto"},
        "subsets": {"halves": 32, "left_out": "weights", "later": 1},
        "influence": {"statistics": "moving"},
    }
    halves, subsets = ("subsets.halves", "10", "32"), ("subsets.left_out", "rows", "weights")
    assert measured.differences(old, new) == [halves, subsets]
    new["train"]["model"] = "resnet9"
    assert len(measured.differences(old, new)) == 4  # the model, and the statistics of its norms
    assert measured.differences({**old, "subsets": None}, new)[0][1:] == ("not run", "run")


def test_a_bar_in_a_cell_is_escaped():
    assert table(["a"], [["x | y"]]) == "| a |\n| --- |\n| x \\| y |"


def test_claims_are_counted_by_family_and_the_same_data_once(monkeypatch):
    judged = [
        {"key": "rounds.noise", "dataset": "more", "verdict": "holds"},
        {"key": "rounds.noise", "dataset": "first", "verdict": "holds"},  # the data of "more"
        {"key": "rounds.accuracy", "dataset": "other", "verdict": "does not hold"},
        {"key": "direct.targets", "dataset": "known truth", "verdict": "not run here"},
    ]
    of = {"first": "1", "other": "2", "more": "1"}
    cards = {name: SimpleNamespace(record={"sha256": data}) for name, data in of.items()}
    sets = [SimpleNamespace(dataset=name, card=card) for name, card in cards.items()]
    monkeypatch.setattr(results, "all_results", lambda: sets)
    monkeypatch.setattr(results, "claims_of_run", lambda: judged)
    rows = results.families().splitlines()
    assert any(row.startswith("| Trimming") and row.endswith("| 1 | 0 | 1 |") for row in rows)
    assert len(rows) == 2 + len(results.FAMILIES)
    assert any(row.startswith("| Direct") and row.endswith("| 0 | 0 | 0 |") for row in rows)


def test_a_claim_has_a_table_of_what_was_run_and_the_reasons_for_the_rest(monkeypatch):
    about = {"key": "ratio.above", "says": "A says.", "place": "section 5", "value": "> 0.2"}
    about |= {"case": "", "reduced": False, "why": ""}
    absent = {"head": "", "verdict": "not run here", "why": "no such stage"}
    judged = [
        {**about, "dataset": "one", "head": "ratio 0.3", "verdict": "holds", "reduced": True},
        {**about, "dataset": "two", **absent},
        {**about, "dataset": "three", **absent},
        {**about, "dataset": "four", "head": "0.1", "verdict": "not applicable", "why": "no net"},
        {**about, "dataset": "five", "head": "0.2", "verdict": "holds in part", "why": "so few"},
    ]
    monkeypatch.setattr(results, "claims_of_run", lambda: judged)
    lines = results.claims().splitlines()
    assert lines[0] == "**A says.** (section 5; the paper: > 0.2)"
    assert "| one (reduced) | ratio 0.3 | holds |" in lines
    assert "| four | 0.1 | not applicable: no net |" in lines
    assert "| five | 0.2 | holds in part: so few |" in lines
    assert lines[-1] == "- not run here (no such stage): two; three"


def test_every_claim_belongs_to_one_family():
    for key in STATEMENTS:
        assert sum(key.startswith(family) for family in results.FAMILIES) == 1, key
