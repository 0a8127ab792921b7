"""Import rules: which room may import which, what it may load, and how long a chain of imports gets."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HALVES = ("models", "service")
MODULES = sorted(path for half in HALVES for path in (ROOT / half).rglob("*.py"))
WITH_TORCH = {
    *(
        f"models/engines/pytorch/{part}.py"
        for part in (
            "cards",
            "comparing",
            "content",
            "content_on_demand",
            "cuda_graphs",
            "engine",
            "jpeg",
            "kernels",
            "layout",
            "memory",
            "network",
            "pixels",
            "precision",
            "resizing",
            "slots",
            "triton_kernels",
            "triton_launching",
        )
    ),
    "models/export/backbone_import.py",
    "models/export/lpips_state.py",
    "models/fitting/paper.py",
}

# The rooms of the metric, in their order: each may import those before it.
MODELS = (
    "installing",
    "metric",
    "images",
    "engines",
    "api",
    "rankings",
    "agreement",
    "fitting",
    "report",
    "export",
    "bulk",
    "cli",
)
# The rooms of the service, each with those that it may import.
SERVICE = {
    "batching": "",
    "settings": "",
    "problems": "",
    "wire": "batching settings problems",
    "storage": "",
    "ops": "batching settings problems wire storage",
    "openapi": "problems wire",
    "admission": "batching settings problems wire storage ops",
    "profiles": "batching settings problems wire storage ops admission",
    "decoding": "",
    "scoring": "batching settings problems wire storage ops admission profiles decoding",
    "teaching": "batching settings problems wire storage ops admission profiles scoring",
    "sessions": "batching settings problems wire storage ops admission profiles scoring teaching",
    "pages": "",
    "routes": "batching settings problems wire storage ops openapi admission profiles decoding scoring teaching "
    "sessions pages",
    "app": "batching settings problems wire storage ops openapi admission profiles decoding scoring teaching sessions "
    "pages "
    "routes",
    "server": "batching settings problems wire storage ops admission profiles scoring teaching app",
    "cli": "settings storage admission server",
}
# What the rooms of the service use of the metric. `settings` takes plain names and bounds: engines, largest sides.
METRIC = {
    "batching": "",
    "settings": "metric images engines",
    "problems": "",
    "wire": "metric",
    "storage": "installing metric",
    "ops": "installing metric engines",
    "openapi": "metric",
    "admission": "",
    "profiles": "metric",
    "decoding": "images",
    "scoring": "metric images engines",
    "teaching": "metric rankings fitting",
    "sessions": "metric rankings fitting",
    "pages": "",
    "routes": "rankings",
    "app": "metric images engines",
    "server": "engines",
    "cli": "engines cli",
}
WEB = ("litestar", "uvicorn", "starlette", "multipart")
WITHOUT_THE_WEB = (
    "batching",
    "settings",
    "problems",
    "storage",
    "profiles",
    "decoding",
    "scoring",
    "teaching",
    "sessions",
)
DATABASE = ("sqlalchemy", "alembic", "advanced_alchemy")
# In files. What is left is the way of a request: the process (cli, server, app), a route, what it asks for (a session,
# which teaches, which compares images), an image's way (comparison, pipeline, lanes, the engine's threads), and what
# these count (telemetry, batches, turns). Each knows the next alone.
LONGEST_CHAIN = 16


def imports(path: Path) -> set[str]:
    """Every module that the file imports anywhere, in functions too, by full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; name the module in full"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" if f"{module}.{alias.name}" in FILES else module for alias in node.names}
    return found


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return "clpips." + named(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


FILES = {module_of(path): path for path in MODULES}


def room_of(module: str) -> tuple[str, str] | None:
    """The half and the room that a module of ours is in; None for the two halves themselves and what is not ours."""
    match module.split("."):
        case ["clpips", ("models" | "service") as half, room, *_]:
            return half, room
    return None


def files_of(half: str, room: str) -> list[Path]:
    return [path for module, path in FILES.items() if room_of(module) == (half, room)]


def arrows(half: str, room: str, to: str) -> dict[str, set[str]]:
    """The rooms of the half `to` that files of this room import, each with those files."""
    found: dict[str, set[str]] = {}
    for path in files_of(half, room):
        for module in imports(path):
            if (other := room_of(module)) is not None and other[0] == to and other != (half, room):
                found.setdefault(other[1], set()).add(named(path))
    return found


def packages(half: str, room: str) -> set[str]:
    """Packages that files of this room import."""
    return {module.partition(".")[0] for path in files_of(half, room) for module in imports(path)}


def test_there_is_something_to_check() -> None:
    assert {"models/engines/pytorch/engine.py", "service/app.py"} <= {named(path) for path in MODULES}


def test_each_file_is_in_a_room_that_the_tables_know() -> None:
    rooms = {half: {room[1] for module in FILES if (room := room_of(module)) and room[0] == half} for half in HALVES}
    assert rooms["models"] <= set(MODELS)
    assert rooms["service"] <= SERVICE.keys()
    assert SERVICE.keys() == METRIC.keys()


@pytest.mark.parametrize("room", MODELS)
def test_a_room_of_the_metric_imports_what_it_may_and_nothing_else(room: str) -> None:
    found = arrows("models", room, to="models")
    allowed = MODELS[: MODELS.index(room)]
    assert {other: files for other, files in found.items() if other not in allowed} == {}


@pytest.mark.parametrize("room", SERVICE)
def test_a_room_of_the_service_imports_what_it_may_and_nothing_else(room: str) -> None:
    found = arrows("service", room, to="service")
    assert {other: files for other, files in found.items() if other not in SERVICE[room].split()} == {}


@pytest.mark.parametrize("room", SERVICE)
def test_a_room_of_the_service_uses_what_it_may_of_the_metric_and_nothing_else(room: str) -> None:
    found = arrows("service", room, to="models")
    assert {other: files for other, files in found.items() if other not in METRIC[room].split()} == {}


@pytest.mark.parametrize("room", WITHOUT_THE_WEB)
def test_the_rooms_of_the_domain_know_nothing_of_the_web(room: str) -> None:
    assert not packages("service", room) & set(WEB)


@pytest.mark.parametrize("room", [room for room in SERVICE if room != "storage"])
def test_storage_alone_knows_the_database(room: str) -> None:
    assert not packages("service", room) & set(DATABASE)


def test_the_longest_chain_of_imports_is_short_and_none_runs_in_a_circle() -> None:
    graph = {module: imports(path) & FILES.keys() - {module} for module, path in FILES.items()}
    chains: dict[str, list[str]] = {}
    for module in TopologicalSorter(graph).static_order():  # raises CycleError that names a circle
        chains[module] = [module, *max((chains[other] for other in graph[module]), key=len, default=[])]
    longest = max(chains.values(), key=len)
    assert len(longest) <= LONGEST_CHAIN, "\n".join(longest)


@pytest.mark.parametrize("path", [path for path in MODULES if named(path).startswith("models/")], ids=named)
def test_the_metric_knows_nothing_of_the_service(path: Path) -> None:
    known = {name.partition(".")[0] for name in imports(path)}
    assert not any(module.startswith("clpips.service") for module in imports(path))
    assert not known & {"service", "loadtest", "tests", "litestar", "uvicorn", "asyncio", "structlog", "sqlalchemy"}


@pytest.mark.parametrize("path", [path for path in MODULES if named(path).startswith("service/")], ids=named)
def test_the_service_knows_nothing_of_tests_and_load(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path)} & {"loadtest", "tests"}


def test_pytorch_is_imported_where_it_must_be_and_nowhere_else() -> None:
    users = {
        named(path) for path in MODULES if {name.partition(".")[0] for name in imports(path)} & {"torch", "torchvision"}
    }
    # The first asks whether there is a GPU, and lives without an answer.
    assert users - {"models/engines/opening.py"} <= WITH_TORCH
