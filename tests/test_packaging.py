"""What is installed: one import package, `clpips`, that nobody's `models` or `service` can stand in the way of."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import clpips
from tests.support.manifests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXERCISE = ROOT / "tests" / "support" / "exercise.py"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_installs_clpips_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {"clpips", f"clpips-{clpips.__version__}.dist-info"}
    assert {"clpips/__init__.py", "clpips/py.typed", "clpips/models/data/weights/lpips.safetensors"} <= set(names)


def test_the_wheel_has_every_file_of_the_folders_once(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "models", "service"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    if not tracked:
        pytest.skip("needs the project's git checkout, which says what its files are")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(("clpips/models/", "clpips/service/"))]
    assert sorted(names) == sorted(f"clpips/{name}" for name in tracked)


def test_an_installed_wheel_works_beside_other_packages_called_models_and_service(wheel: Path, tmp_path: Path) -> None:
    # The environment has a clpips of its own; what that needs, it takes from here. A folder named in a `.pth` file is
    # added as it is: the `.pth` file there, by which this checkout is installed, is not read again.
    venv.create(tmp_path, with_pip=False)
    python = tmp_path / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    Path(where, "needs.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = subprocess.run(
        [python, "-I", "-c", "import clpips; print(clpips.__file__)"], capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()).is_relative_to(where)
    done = subprocess.run(
        [sys.executable, str(EXERCISE), str(tmp_path / "bin")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_version_is_named_once() -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert f"ARG VERSION={clpips.__version__}\n" in (ROOT / "Dockerfile").read_text()
    assert f"## {clpips.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_an_unpacked_source_archive_works_without_the_links_of_a_checkout(tmp_path: Path) -> None:
    package = tmp_path / "src" / "clpips"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text((ROOT / "src" / "clpips" / "__init__.py").read_text())
    for name in ("models", "service"):
        (tmp_path / name).symlink_to(ROOT / name)
    code = "import clpips.models.metric.weights_files, clpips.service.settings; print(clpips.models.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == tmp_path / "models" / "__init__.py"
