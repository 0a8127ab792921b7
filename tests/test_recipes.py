"""docs/recipes.md runs as it stands: diffusers with a tiny random model, Gradio, and a page of another origin."""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from clpips_client import Client

from clpips.models.engines.opening import open_engine
from tests.support.browser import browsing, needs_chromium
from tests.support.documents import ROOT, blocks
from tests.support.pictures import encode, picture, variation
from tests.support.processes import environment
from tests.support.recipes_main import SEED, STEPS
from tests.support.replicas import free_port
from tests.support.services import listening

pytestmark = pytest.mark.timeout(400)

PAGE = ROOT / "docs" / "recipes.md"
MODEL = "stable-diffusion-v1-5/stable-diffusion-v1-5"
FOLDER = os.environ.get("CLPIPS_TEST_RECIPES", "")
needs_recipes = pytest.mark.skipif(
    not FOLDER, reason="needs diffusers and Gradio: `make recipes` gets them, then CLPIPS_TEST_RECIPES=build/recipes"
)
OURS = {
    block.text: block.language for block in blocks(PAGE) if block.test == f"tests/{Path(__file__).name}"
}  # by their texts: "recipes.md"


def recipe(word: str, language: str = "python") -> str:
    """The one recipe in which this word stands."""
    (text,) = (text for text, its in OURS.items() if its == language and word in text)
    return text


DIFFUSERS = [recipe("num_images_per_prompt"), recipe("stop_when_near"), recipe("profiles.create")]
NEVER = DIFFUSERS[1].replace("NEAR = 0.2", "NEAR = -1.0")  # nothing is as near
GRADIO = recipe("import gradio")
HTML = recipe("<!doctype html>", "html")


def test_no_recipe_is_left_out() -> None:
    assert OURS.keys() == {*DIFFUSERS, GRADIO, HTML}


def command(*arguments: str | Path) -> list[str | Path]:
    return [Path(FOLDER).absolute() / ".venv" / "bin" / "python", *arguments]


def surroundings(folder: Path) -> dict[str, str]:
    """An environment with the client, and in which nothing is fetched from anywhere."""
    return environment(
        HOME=str(folder),
        PYTHONPATH=str(ROOT / "clients" / "python" / "src"),
        HF_HUB_OFFLINE="1",
        DISABLE_TELEMETRY="YES",
        GRADIO_ANALYTICS_ENABLED="False",
        OMP_NUM_THREADS="1",
    )


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The real metric."""
    with listening(open_engine()) as url:
        yield url


@pytest.fixture(scope="module")
def printed(service: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder in which the recipes with diffusers ran, and what each of them has printed."""
    folder = tmp_path_factory.mktemp("recipes")
    programs = [folder / f"{number}.py" for number in range(len(DIFFUSERS) + 1)]
    for path, text in zip(programs, [*DIFFUSERS, NEVER], strict=True):
        path.write_text(text.replace("http://localhost:8000", service).replace(MODEL, str(folder / "model")))
    run = command(ROOT / "tests" / "support" / "recipes_main.py", folder / "model", *programs)
    done = subprocess.run(run, cwd=folder, env=surroundings(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


@needs_recipes
def test_the_best_of_n_is_the_image_of_the_targets_seed(printed: tuple[Path, list[str]]) -> None:
    _, (best_of_n, *_) = printed
    found = re.fullmatch(r"seed (\d+): (\d\.\d+)\n", best_of_n)
    assert found is not None, best_of_n
    assert int(found[1]) == SEED
    assert float(found[2]) < 0.01


def looks(said: str) -> dict[int, float]:
    """The distance at each step that was looked at."""
    return {int(step): float(distance) for step, distance in re.findall(r"step (\d+): (\d\.\d+)", said)}


@needs_recipes
def test_the_pipeline_stops_at_the_first_look_that_is_near_enough_and_runs_to_its_end_where_none_is(
    printed: tuple[Path, list[str]],
) -> None:
    _, (_, stopped, _, never) = printed
    all_looks = looks(never)
    assert list(all_looks) == [11, 13, 15, 17, STEPS - 1]
    first = next(step for step, distance in all_looks.items() if distance < 0.2)
    assert first < STEPS - 1  # there are steps to be saved
    assert looks(stopped) == {step: distance for step, distance in all_looks.items() if step <= first}


@needs_recipes
def test_a_search_over_seeds_ends_at_the_targets_by_the_persons_profile_and_teaches_it(
    printed: tuple[Path, list[str]], service: str
) -> None:
    folder, (_, _, searched, _) = printed
    assert re.fullmatch(rf"seed {SEED} of {SEED + 1}: 0\.0\d+ by ada\n1 learned\n", searched), searched
    with Client(service) as client:
        assert client.profiles.get("ada").rankings == 1
        assert float(client.distance(folder / "target.png", folder / "best.png")) < 0.01


@contextmanager
def running_gallery(folder: Path, service: str) -> Iterator[str]:
    """The address of the recipe with Gradio."""
    program = folder / "gallery.py"
    program.write_text(GRADIO.replace("http://localhost:8000", service))
    port = free_port()
    variables = surroundings(folder) | {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder / "temp")}
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command(program), cwd=folder, env=variables, stdout=out, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                httpx.get(f"{url}/gradio_api/info", timeout=30).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)  # another process is what is waited for
        yield url
    finally:
        process.kill()
        process.wait()


TARGET = picture(1, 64)
FILES = {
    "target.png": TARGET,
    "far.png": variation(TARGET, 1, 0.8),
    "same.png": TARGET,
    "near.png": variation(TARGET, 2, 0.1),
}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A target, and three candidates."""
    for name, pixels in FILES.items():
        (tmp_path / name).write_bytes(encode(pixels))
    return [tmp_path / name for name in FILES]


def ordered(url: str, files: list[Path], profile: str) -> tuple[str, Any]:
    """The last event of the gallery's own API for these files, and what it carries."""
    with httpx.Client(base_url=f"{url}/gradio_api", timeout=60) as http:
        sent = [("files", (file.name, file.read_bytes(), "image/png")) for file in files]
        paths = http.post("/upload", files=sent).raise_for_status().json()
        target, *candidates = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]
        asked = http.post("/call/order", json={"data": [target, candidates, profile]}).raise_for_status().json()
        events = http.get(f"/call/order/{asked['event_id']}").text.strip().split("\n\n")
    kind, data = (line.partition(": ")[2] for line in events[-1].splitlines())
    return kind, json.loads(data)


@needs_recipes
def test_the_gallery_shows_the_most_similar_first_and_says_what_is_refused(
    tmp_path: Path, files: list[Path], service: str
) -> None:
    with running_gallery(tmp_path, service) as url:
        kind, (gallery,) = ordered(url, files, "lpips")
        assert kind == "complete"
        assert [Path(one["image"]["path"]).stem for one in gallery] == ["same", "near", "far"]
        assert gallery[0]["caption"] == "1: 0.000"
        kind, fault = ordered(url, files, "nobody")
        assert kind == "error"
        assert "nobody" in str(fault)


@contextmanager
def another_origin(folder: Path) -> Iterator[str]:
    """A server of files, on a port of its own."""
    handler = partial(SilentHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class SilentHandler(SimpleHTTPRequestHandler):
    """Prints nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Nothing."""


@needs_chromium
def test_a_page_of_another_origin_ranks_if_it_is_allowed_and_not_otherwise(tmp_path: Path, files: list[Path]) -> None:
    with another_origin(tmp_path) as origin, browsing() as browser:
        for allowed in (origin, ""):
            with listening(open_engine(), cors_origins=allowed) as url:
                (tmp_path / "page.html").write_text(HTML.replace("http://localhost:8000", url))
                page = browser.new_page()
                page.goto(f"{origin}/page.html")
                page.set_input_files("#target", files[0])
                page.set_input_files("#candidates", files[1:])
                shown = page.locator("#ranking li" if allowed else "#fault:not(:empty)")
                shown.first.wait_for()
                texts = shown.all_inner_texts()
                ranked = page.locator("#ranking li").count()
                page.close()
            if allowed:
                assert [text.partition(": ")[0] for text in texts] == ["same.png", "near.png", "far.png"]
                assert texts[0].endswith(": 0.000")
            else:
                assert (texts, ranked) == (["Failed to fetch"], 0)
