"""What is left of a fit worker, and of its second process, when it has been ended."""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from clpips.service.teaching.fit_processes import FitWorkers
from tests.support.processes import children

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no second process")

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def inheriting() -> Iterator[None]:
    """As in a container whose first process the service is: this process inherits those of its children."""
    control = ctypes.CDLL(None).prctl
    control(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    control(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.mark.usefixtures("inheriting")
async def test_an_ended_worker_leaves_no_process_behind_where_nobody_else_waits_for_it(tmp_path: Path) -> None:
    before = children(os.getpid(), ended=True)
    for _ in range(2):
        own = FitWorkers(1, f"sqlite:///{tmp_path}/clpips.db", niceness=0)
        own.expect()
        while not own.idle or not children(own.idle[0]):  # noqa: ASYNC110 - until it has started another process
            await asyncio.sleep(0.02)
        await own.close()
        assert children(os.getpid(), ended=True) <= before


@pytest.mark.parametrize("seconds", [0.3, 0.5, 0.7, 0.9])
def test_a_worker_that_is_ended_while_its_second_process_begins_leaves_no_pipe_open(
    tmp_path: Path, seconds: float
) -> None:
    """Until it has begun, the second process has the worker's pipes, too: no event loop may close before they do."""
    slowly = (
        "import time, clpips.service.teaching.second_process as second\n"
        "serve = second._serve\n"
        "second._serve = lambda *given: (time.sleep(1), serve(*given))\n"
        "from clpips.service.teaching.fit_worker import main\n"
        "main(0)"
    )

    async def spawn(*command: str, **options: Any) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(*command[:-1], slowly, **options)

    async def begin_and_end() -> None:
        own = FitWorkers(1, f"sqlite:///{tmp_path}/clpips.db", niceness=0, spawn=spawn)
        own.expect()
        await asyncio.sleep(seconds)
        await own.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(begin_and_end())
    gc.collect()  # what is not closed warns, and warnings are errors
