"""All suites, in the order in which they run. A suite is a file of cases beside this one."""

from typing import Final

from loadtest.hostile import database, files, http
from loadtest.hostile.case import Suite

SUITES: Final[tuple[Suite, ...]] = (files.SUITE, http.SUITE, database.SUITE)
