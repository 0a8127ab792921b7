"""The studio's modules by themselves: types, and what they compute of orders, without a browser."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from clpips.service.pages.files import FOLDER
from tests.support.manifests import ROOT

STUDIO = FOLDER / "studio"
NODE = shutil.which("node")
TSC = ROOT / "tests" / "support" / "clients" / "node_modules" / ".bin" / "tsc"
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node.js, which runs modules without a browser")
ORDER = {"ids": ["a", "b", "c", "d"], "tied": [], "out": [], "said": "order", "top": 3}


def run(program: str) -> Any:
    """What a program prints, which may import the studio's modules by their names, and has some helpers."""
    helpers = """
const shown = (order) => ({ ...order, tied: [...order.tied] });
const order = (ids, tied = [], rest = {}) => ({ ids, tied: new Set(tied), out: [], said: "order", top: 3, ...rest });
const print = (value) => console.log(JSON.stringify(value));
"""
    done = subprocess.run(
        [str(NODE), "--input-type=module", "-e", helpers + program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def of_orders(expression: str) -> Any:
    return run(f'import * as o from "{STUDIO / "order.js"}"; print({expression});')


@pytest.mark.skipif(not TSC.exists(), reason="needs the TypeScript compiler: `make clients` installs it, with npm")
def test_the_types_of_the_modules_are_right() -> None:
    done = subprocess.run(
        [TSC, "--project", ROOT / "tests" / "support" / "pages"], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0


@needs_node
@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.js")), ids=lambda path: path.name)
def test_every_module_is_sound_syntax(path: Path) -> None:
    done = subprocess.run(
        [str(NODE), "--input-type=module", "--check"],
        input=path.read_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@needs_node
def test_a_move_puts_a_candidate_where_it_is_wanted() -> None:
    assert of_orders('o.moved(order(["a", "b", "c", "d"]), "d", 1).ids') == ["a", "d", "b", "c"]
    assert of_orders('o.moved(order(["a", "b", "c", "d"]), "a", 99).ids') == ["b", "c", "d", "a"]


@needs_node
def test_what_led_a_tie_leaves_it_to_the_next() -> None:
    moved = of_orders('shown(o.moved(order(["a", "b", "c", "d"], ["c", "d"]), "b", 0))')
    assert (moved["ids"], moved["tied"]) == (["b", "a", "c", "d"], ["d"])


@needs_node
def test_what_is_put_between_two_that_are_tied_is_tied_to_them() -> None:
    moved = of_orders('shown(o.moved(order(["a", "b", "c", "d"], ["c"]), "d", 2))')
    assert moved["ids"] == ["a", "b", "d", "c"]
    assert sorted(moved["tied"]) == ["c", "d"]


@needs_node
def test_nothing_is_tied_to_what_is_before_the_first() -> None:
    assert of_orders('shown(o.tieToggled(order(["a", "b"]), "a")).tied') == []
    assert of_orders('shown(o.leftOut(order(["a", "b", "c"], ["b"]), "a")).tied') == []


@needs_node
def test_tied_candidates_share_a_rank_and_the_next_one_counts_them() -> None:
    assert of_orders('[...o.ranks(order(["a", "b", "c", "d"], ["b"]))]') == [["a", 1], ["b", 1], ["c", 3], ["d", 4]]


@needs_node
def test_the_service_is_told_ranks_or_the_best_or_the_first_few() -> None:
    ids = '["d", "c", "b", "a"]'
    assert of_orders(f'o.told(order(["a", "b", "c", "d"], ["b"]), {ids})') == {"ranks": [4, 3, 1, 1]}
    assert of_orders(f'o.told(o.best(order(["a", "b", "c", "d"]), "c"), {ids})') == {"best": 1}
    assert of_orders(f'o.told(order(["a", "b", "c", "d"], [], {{ said: "top", top: 2 }}), {ids})') == {"top": [3, 2]}


@needs_node
def test_an_order_of_only_equals_says_nothing() -> None:
    assert of_orders('o.saysSomething(order(["a", "b", "c"], ["b", "c"]))') is False
    assert of_orders('o.saysSomething(order(["a"]))') is False
    assert of_orders('o.saysSomething(order(["a", "b", "c"], ["b"]))') is True


@needs_node
def test_new_candidates_come_in_where_the_metric_has_them_and_mine_stays() -> None:
    assert of_orders('o.following(order(["c", "a"]), ["a", "b", "c", "d"]).ids') == ["c", "a", "b", "d"]
    assert of_orders('o.following(order(["a", "x", "b"], [], { out: ["c"] }), ["a", "b", "c"]).ids') == ["a", "b"]


@needs_node
def test_agreement_is_kendalls_tau_and_names_the_pairs() -> None:
    program = f"""
import {{ compare }} from "{STUDIO / "agreement.js"}";
const mine = new Map([["a", 1], ["b", 2], ["c", 3], ["d", 3]]);
print(compare(mine, (id) => ({{ a: 0.3, b: 0.1, c: 0.2, d: 0.9 }})[id]));
"""
    found = run(program)
    scipy_tau = 0.18257418583505536  # scipy.stats.kendalltau([1, 2, 3, 3], [.3, .1, .2, .9])
    assert found["tau"] == pytest.approx(scipy_tau)
    assert (found["alike"], found["pairs"]) == (3, 5)
    assert [(one["before"], one["after"]) for one in found["differences"]] == [("a", "b"), ("a", "c")]


@needs_node
def test_a_cell_that_a_spreadsheet_would_compute_is_text() -> None:
    program = f"""
import {{ asCsv }} from "{STUDIO / "exports.js"}";
const shot = {{ id: "a", name: '=HYPERLINK("x")', sha: "sha256:00", prompt: "two,\\nlines", step: 3, fault: null }};
const mine = order(["a"]);
const scores = new Map([["a", {{ distance: 0.5, base: 0.25 }}]]);
print(asCsv({{ shots: [shot], scores, mine, shown: "profile", profile: {{ name: "me", version: 1 }} }}));
"""
    heads, row = run(program).split("\r\n", 1)
    assert heads == "name,my_rank,metric_rank,distance,lpips_rank,lpips_distance,prompt,step,sha256"
    assert row == '"\'=HYPERLINK(""x"")",1,1,0.5,1,0.25,"two,\nlines",3,00\r\n'


@needs_node
def test_events_are_read_as_the_standard_has_them() -> None:
    stubs = "globalThis.document = { baseURI: 'http://host/studio' };"
    program = f"""
{stubs}
const {{ parse }} = await import("{STUDIO / "events.js"}");
print(["id: 7\\nevent: order\\ndata: 1\\ndata: 2", ": a comment", "data"].map(parse));
"""
    assert run(program) == [
        {"id": "7", "event": "order", "data": "1\n2"},
        {"id": "", "event": "message", "data": ""},
        {"id": "", "event": "message", "data": ""},
    ]
