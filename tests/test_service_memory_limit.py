"""The memory that counts, as containers and machines tell it."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from clpips.service.ops.memory import (
    Held,
    Memory,
    MemoryCollector,
    container_memory,
    held_by_container,
    held_by_processes,
    read_memory,
)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "status").write_text("Name:\tclpips\nVmRSS:\t     300 kB\n")
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:       4000 kB\nMemFree:        1000 kB\n")
    return tmp_path / "proc"


@pytest.fixture
def cgroup(tmp_path: Path) -> Path:
    folder = tmp_path / "cgroup"
    folder.mkdir()
    (folder / "memory.max").write_text("2048000\n")
    (folder / "memory.current").write_text("1000000\n")
    (folder / "memory.stat").write_text("anon 600000\nfile 400000\ninactive_file 250000\n")
    return folder


def test_a_container_counts_what_the_kernel_cannot_drop(cgroup: Path, proc: Path) -> None:
    assert read_memory(cgroup, proc) == Memory(used=750_000, limit=2_048_000)


def test_without_a_limit_the_machine_is_the_limit(cgroup: Path, proc: Path) -> None:
    (cgroup / "memory.max").write_text("max\n")
    assert read_memory(cgroup, proc) == Memory(used=300 * 1024, limit=4000 * 1024)


def test_without_a_cgroup_the_machine_is_the_limit(tmp_path: Path, proc: Path) -> None:
    assert read_memory(tmp_path / "none", proc) == Memory(used=300 * 1024, limit=4000 * 1024)


def test_a_file_that_makes_no_sense_is_passed_over(cgroup: Path, proc: Path) -> None:
    (cgroup / "memory.stat").write_text("anon 600000\n")
    assert read_memory(cgroup, proc) == Memory(used=300 * 1024, limit=4000 * 1024)


def test_a_system_that_does_not_tell_is_none(tmp_path: Path) -> None:
    assert read_memory(tmp_path / "none", tmp_path / "neither") is None


def test_what_others_hold_in_a_container_is_what_this_process_does_not(cgroup: Path, proc: Path) -> None:
    (proc / "self" / "statm").write_text("900 100 30 1 0 50 0\n")
    own = 100 * os.sysconf("SC_PAGE_SIZE")
    assert held_by_container(cgroup, proc) == Held(own, 750_000 - own)


def test_without_a_limit_there_is_no_container(cgroup: Path, tmp_path: Path) -> None:
    (cgroup / "memory.max").write_text("max\n")
    assert container_memory(cgroup) is None
    assert container_memory(tmp_path / "none") is None


def test_processes_are_counted_with_their_children_and_what_is_shared_once(tmp_path: Path) -> None:
    for process, children, statm in (("self", "7", "900 100 30"), ("7", "8 9", "900 60 50"), ("8", "", "900 40 5")):
        (tmp_path / process / "task" / "1").mkdir(parents=True)
        (tmp_path / process / "task" / "1" / "children").write_text(children)
        (tmp_path / process / "statm").write_text(f"{statm} 1 0 50 0\n")
    page = os.sysconf("SC_PAGE_SIZE")
    assert held_by_processes(tmp_path) == Held(100 * page, (10 + 35) * page)  # the process 9 has ended


def test_this_process_is_seen_as_it_is() -> None:
    samples = {sample.name: sample.value for family in MemoryCollector().collect() for sample in family.samples}
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # Python with NumPy takes at least 10 MiB, and the limit can only be below the machine's memory.
    assert 10 * 2**20 < samples["clpips_memory_used_bytes"] < samples["clpips_memory_limit_bytes"] <= machine * 1.01


SIX_THREADS_THAT_ALLOCATE = """
import ctypes, threading
from clpips.service.ops.memory import share_arenas

share_arenas()
libc = ctypes.CDLL(None)
together = threading.Barrier(6)


def allocate():
    together.wait()
    libc.malloc(100_000)
    together.wait()


threads = [threading.Thread(target=allocate) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_stats()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are glibc's: run this on a Linux that has it")
@pytest.mark.parametrize(("environment", "most"), [({}, 2), ({"MALLOC_ARENA_MAX": "4"}, 4)])
def test_threads_share_arenas_unless_the_operator_says_how_many(environment: dict[str, str], most: int) -> None:
    told = {key: value for key, value in os.environ.items() if key != "MALLOC_ARENA_MAX"} | environment
    command = [sys.executable, "-c", SIX_THREADS_THAT_ALLOCATE]
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=True)
    assert done.stderr.count("Arena ") == most
