"""The packages that a machine with a GPU lacks, as wheels: fetched here, installed there without a package index.

    python -m loadtest.device.wheels FOLDER [NAME...]    fetch, for Python 3.12 on Linux; NAME: further ones

`TAKEN` is what `loadtest.on_device` needs beside PyTorch, torchvision, Triton and NumPy, which weigh gigabytes and are
there. ONNX Runtime (27 MiB) is used where it is there or named; without it the cores run PyTorch. Versions are those of
`constraints.txt`.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
MOST_BYTES: Final = 36 * 2**20  # with the checkout, which has 26 MiB, less than 64 MiB
PYTHON: Final = "3.12"
PLATFORMS: Final = (*(f"manylinux_2_{minor}_x86_64" for minor in (34, 28, 27, 24, 17)), "manylinux2014_x86_64")
TAKEN: Final = (
    # the service
    *("aiosqlite", "alembic", "anyio", "click", "greenlet", "h11", "httptools", "idna", "imgread", "litestar"),
    *("litestar-htmx", "mako", "markdown-it-py", "markupsafe", "mdurl", "msgspec", "multidict", "multipart", "pillow"),
    *("prometheus-client", "pygments", "pyyaml", "rich", "rich-click", "safetensors", "sniffio", "sqlalchemy"),
    *("structlog", "threadpoolctl", "typing-extensions", "uvicorn", "uvloop"),
    # the contenders: the plain handler with `lpips`
    *("lpips", "tqdm"),
    # the tests
    *("iniconfig", "packaging", "pluggy", "pytest", "pytest-asyncio", "pytest-timeout"),
    *("attrs", "jsonschema", "jsonschema-specifications", "referencing", "rpds-py"),
)


def fetch(folder: Path, names: Sequence[str] = ()) -> int:
    """Fetch the wheels into the folder; their bytes. Raises `CalledProcessError` where pip fails."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    targets = [option for platform in PLATFORMS for option in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", *targets]
    command += ["--constraint", str(ROOT / "constraints.txt"), "--dest", str(folder), *TAKEN, *names]
    subprocess.run(command, check=True)
    return sum(wheel.stat().st_size for wheel in folder.glob("*.whl"))


def main() -> int:
    folder = Path(sys.argv[1])
    taken = fetch(folder, sys.argv[2:])
    print(f"{folder}: {len(list(folder.glob('*.whl')))} wheels, {taken / 2**20:.1f} MiB")
    if taken > MOST_BYTES:
        print(f"more than {MOST_BYTES / 2**20:.0f} MiB: leave some out")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
