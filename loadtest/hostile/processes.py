"""Processes of the machine, as Linux lists them."""

from pathlib import Path


def processes_of(session: int) -> list[int]:
    """The ids of all processes of a session: the service, which has one of its own, and its children."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[3]) == session:
            found.append(int(entry.name))
    return found
