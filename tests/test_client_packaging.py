"""The client's distribution: small, typed, for old Pythons, and true to the service's contract."""

import ast
import doctest
import inspect
import re
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import clpips_client
import msgspec
import pytest
from clpips_client import (
    AsyncClient,
    AsyncSession,
    AsyncSharedSession,
    Client,
    Limits,
    Session,
    SharedSession,
    packing,
    profile_replies,
    replies,
    session_replies,
)
from clpips_client.async_client import AsyncProfiles
from clpips_client.client import Profiles
from clpips_client.connecting import headers_of
from clpips_client.errors import KINDS

from clpips.service.problems import Problem
from clpips.service.settings import Settings
from clpips.service.wire import matrices, profile_schemas, ranking_schemas, schemas, session_schemas
from tests.support.manifests import ROOT

FOLDER = ROOT / "clients" / "python"
SOURCES = sorted((FOLDER / "src").rglob("*.py"))
OWN = {"pictures"}  # fields that a reply has and the service does not send
SAME: list[tuple[type[Any], type[msgspec.Struct]]] = [
    (replies.Profile, schemas.ProfileInfo),
    (replies.Engine, schemas.EngineInfo),
    (replies.Ranked, schemas.RankedCandidate),
    (replies.Ranking, schemas.RankReply),
    (replies.Pair, schemas.PairNames),
    (replies.Distances, schemas.DistanceReply),
    (replies.Diversity, matrices.DiversityInfo),
    (replies.Matrix, matrices.MatrixReply),
    (profile_replies.Interval, profile_schemas.Interval),
    (profile_replies.Agreement, profile_schemas.AgreementInfo),
    (profile_replies.Fit, profile_schemas.FitInfo),
    (profile_replies.Version, profile_schemas.VersionInfo),
    (profile_replies.ProfileSummary, profile_schemas.ProfileSummary),
    (profile_replies.ProfileList, profile_schemas.ProfileList),
    (profile_replies.ProfileDetail, profile_schemas.ProfileDetail),
    (profile_replies.Taught, profile_schemas.Taught),
    (profile_replies.TaughtRanking, ranking_schemas.TaughtRanking),
    (profile_replies.Forgotten, ranking_schemas.Forgotten),
    (profile_replies.RankingInfo, ranking_schemas.RankingInfo),
    (profile_replies.Suggestion, ranking_schemas.Suggestion),
    (profile_replies.Deleted, profile_schemas.Deleted),
    (session_replies.SessionState, session_schemas.SessionState),
    (session_replies.SessionCandidate, session_schemas.SessionCandidateInfo),
    (session_replies.SessionProfile, session_schemas.SessionProfile),
    (session_replies.SessionTarget, session_schemas.SessionTarget),
    (session_replies.SessionOrder, session_schemas.SessionOrderInfo),
    (session_replies.SessionMade, session_schemas.SessionMade),
    (session_replies.SessionTaught, session_schemas.SessionTaught),
]


@pytest.mark.parametrize(("ours", "theirs"), SAME, ids=lambda shape: shape.__name__)
def test_a_reply_has_the_fields_that_the_service_sends(ours: type[Any], theirs: type[msgspec.Struct]) -> None:
    assert {field.name for field in fields(ours)} - OWN == set(theirs.__struct_fields__)


def test_every_kind_of_problem_is_an_exception() -> None:
    assert KINDS.keys() == {kind.kind for kind in Problem.__subclasses__()}
    assert {kind.__name__ for kind in KINDS.values()} <= set(clpips_client.__all__)


def test_its_limits_are_the_services_defaults() -> None:
    settings = Settings()
    limits = Limits()
    assert (limits.images, limits.scored_pixels) == (settings.max_images, settings.max_scored_pixels)
    assert limits.body_bytes < settings.max_body_bytes


@pytest.mark.parametrize(
    ("waits", "awaited"),
    [(Client, AsyncClient), (Profiles, AsyncProfiles), (Session, AsyncSession), (SharedSession, AsyncSharedSession)],
)
def test_both_clients_have_the_same_operations_with_the_same_signatures(waits: type, awaited: type) -> None:
    def operations(client: type) -> dict[str, str]:
        found = {
            name: one for name, one in vars(client).items() if inspect.isfunction(one) and hasattr(one, "__wrapped__")
        }
        return {name: str(inspect.signature(one)) for name, one in found.items()}

    assert operations(waits) == operations(awaited)
    assert len(operations(waits)) >= 3
    assert all(inspect.iscoroutinefunction(getattr(awaited, name)) for name in operations(awaited))


def test_it_knows_nothing_of_the_service_but_where_it_runs_one() -> None:
    assert [
        path.name for path in SOURCES if re.search(r"^\s*(from|import) clpips\b", path.read_text(), re.MULTILINE)
    ] == ["local.py"]


def test_an_empty_key_is_none_and_the_environments_is_for_those_who_give_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLPIPS_KEY", "from-the-environment")
    assert headers_of(None, None) == {"Authorization": "Bearer from-the-environment"}
    assert headers_of("given", None) == {"Authorization": "Bearer given"}
    assert headers_of("", None) == {}


def test_examples_are_true() -> None:
    done = doctest.testmod(packing)
    assert (done.failed, done.attempted) == (0, 1)


def test_what_is_packed_is_what_is_read() -> None:
    tree: Any = {"a": [None, True, False, -3, 2.5, "ä", b"\x00\xff"], "b": {"c": []}}
    assert msgspec.msgpack.decode(packing.pack(tree)) == tree
    with pytest.raises(TypeError, match="set"):
        packing.pack({1, 2})  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_it_is_written_for_python_3_10(source: Path) -> None:
    ast.parse(source.read_text(), feature_version=(3, 10))


def test_it_needs_httpx_and_numpy_and_nothing_else() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    assert [need.partition(">")[0] for need in project["dependencies"]] == ["httpx", "numpy"]
    code = "import sys, clpips_client; print(*{'PIL', 'torch', 'pandas', 'clpips', 'msgspec'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_its_wheel_holds_the_package_with_its_types_and_its_licence(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(FOLDER)]
    subprocess.run(pip, check=True)
    (wheel,) = tmp_path.glob("clpips_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    version = clpips_client.__version__
    assert {name.partition("/")[0] for name in names} == {"clpips_client", f"clpips_client-{version}.dist-info"}
    expected = {f"clpips_client/{path.name}" for path in SOURCES} | {"clpips_client/py.typed"}
    assert {name for name in names if name.startswith("clpips_client/")} == expected
    assert f"clpips_client-{version}.dist-info/licenses/LICENSE" in names
    assert (FOLDER / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_without_clpips_a_local_service_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['clpips'] = None\nfrom clpips_client import Client\n"
        "try: Client.local()\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "install it beside this one" in done.stdout


def test_without_pandas_a_table_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\nfrom clpips_client.replies import _pandas\n"
        "try: _pandas()\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install pandas" in done.stdout
