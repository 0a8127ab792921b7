"""A short load test: start the service, let locust's users at it, write a report, judge it.

python -m loadtest [locust's own options]
"""

import subprocess
import sys
from pathlib import Path

from loadtest.kit.contenders import clpips

REPORT = Path("reports") / "loadtest.html"
OPTIONS = [
    "--headless",
    "--users",
    "6",
    "--spawn-rate",
    "2",
    "--run-time",
    "60s",
    "--html",
    str(REPORT),
    "--only-summary",
]


def main() -> int:
    """Locust's exit code: 0 where every threshold was held."""
    REPORT.parent.mkdir(exist_ok=True)
    server = clpips("loadtest")
    server.start()
    try:
        command = [sys.executable, "-m", "locust", "--locustfile", str(Path(__file__).with_name("locustfile.py"))]
        host = f"http://127.0.0.1:{server.port}"
        return subprocess.run([*command, "--host", host, *OPTIONS, *sys.argv[1:]], check=False).returncode
    finally:
        server.stop()
        print(f"report: {REPORT}")


if __name__ == "__main__":
    sys.exit(main())
