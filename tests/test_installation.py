"""The library is what its wheel holds: public names, three packages to stand on, one legend."""

import ast
import re
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest

import catwise

ROOT = Path(__file__).parents[1]
CORE = ("torch", "numpy", "scipy")


def with_requirements(names: tuple[str, ...]) -> dict[str, metadata.Distribution]:
    """Return the distributions of that name and all that they require, by normal name."""
    found, todo = {}, list(names)
    while todo:
        name = re.match(r"[\w.-]+", todo.pop())[0].lower().replace("_", "-")
        if name not in found:
            try:
                found[name] = metadata.distribution(name)
            except metadata.PackageNotFoundError:  # required on another platform
                continue
            todo += [line for line in found[name].requires or () if "extra ==" not in line]
    return found


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command; return what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_public_name_is_there_and_seen_by_readers_of_types():
    imports = set()
    for node in ast.walk(ast.parse((ROOT / "catwise/__init__.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("catwise."):
            imports |= {alias.name for alias in node.names}
    assert imports == set(catwise._HOMES)
    assert imports | {"__version__"} == set(catwise.__all__)
    assert set(catwise.__all__) <= set(dir(catwise))
    for name in imports:
        assert getattr(catwise, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'diagnosis_of'"):
        _ = catwise.diagnosis_of


def test_the_version_is_that_of_pyproject():
    written = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert catwise.__version__ in (written[1], "0+unknown")  # installed, or a clone


def test_importing_the_library_imports_no_package():
    code = f"import sys, catwise; assert not set({CORE}) & set(sys.modules), sys.modules.keys()"
    run(sys.executable, "-c", code)


@pytest.mark.slow
def test_every_public_name_needs_torch_numpy_and_scipy_alone():
    """No import of another package succeeds; a small diagnosis runs all the same."""
    core = set(with_requirements(CORE))
    known = {"catwise"} | {
        module
        for module, owners in metadata.packages_distributions().items()
        if {owner.lower().replace("_", "-") for owner in owners} & core
    }
    code = f"""
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

class CoreFinder:
    def find_spec(name, path=None, target=None):
        top = name.partition(".")[0]
        standard = top in sys.stdlib_module_names or top.startswith("_sysconfigdata")
        return PathFinder.find_spec(name, path, target) if standard or top in {known} else None

sys.meta_path[:] = [BuiltinImporter, FrozenImporter, CoreFinder]
import catwise, torch
for name in catwise.__all__:
    getattr(catwise, name)
x, y = torch.randn(60, 2), torch.arange(60) % 2
print(catwise.diagnose(torch.nn.Linear(2, 2), (x, y), (-x, y), ["cat", "dog"]))
"""
    assert run(sys.executable, "-c", code).startswith("verdict: ")


def suffixes() -> dict[str, str]:
    """Return the suffix of every array among the arguments of public functions, and where it is."""
    found = {}
    for path in (ROOT / "catwise").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                    words = ast.unparse(argument.annotation) if argument.annotation else ""
                    suffix = re.search(r"_([a-z0-9]{1,4})$", argument.arg)
                    if suffix and re.search(r"\b(ndarray|Tensor|ArrayLike)\b", words):
                        found[suffix[1]] = f"{path.name}: {node.name}({argument.arg})"
    return found


def test_every_axis_of_an_argument_is_in_the_legend():
    legend = set(re.findall(r"^    ([a-z])   \S", catwise.__doc__, re.MULTILINE))
    unknown = {
        where for suffix, where in suffixes().items() if set(re.sub(r"\d", "", suffix)) - legend
    }
    assert unknown == set()


@pytest.mark.slow
def test_a_wheel_works_elsewhere_with_torch_numpy_and_scipy_alone(tmp_path):
    source, home = tmp_path / "source", tmp_path / "home"
    home.mkdir()
    shutil.copytree(ROOT / "catwise", source / "catwise")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path, source)
    (wheel,) = tmp_path.glob("catwise-*.whl")

    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv/bin/python"
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    for distribution in with_requirements(CORE).values():
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(distribution.locate_file(top))
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", "-q", wheel)

    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    assert run(python, "-c", example, cwd=home).startswith("verdict: room: other weights")
    command = tmp_path / "venv/bin/catwise"
    assert run(command, "--version", cwd=home) == f"{wheel.name[:13].replace('-', ' ')}\n"
    refused = subprocess.run(
        [command, "diagnose", "photos"], cwd=home, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert refused.stderr.endswith("got none; pip install '.[pipeline]' in the folder of catwise\n")
    installed = {path.relative_to(packages).as_posix() for path in packages.rglob("catwise/**/*.*")}
    assert {"catwise/py.typed", "catwise/report/page.html", "catwise/report/page.js"} <= installed
    assert not (packages / "stages").exists()
