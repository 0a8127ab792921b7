"""All suites, in the order in which they run. A suite is a file of cases beside this one."""

from typing import Final

from loadtest.hostile import bounds, clocks, database, files, http
from loadtest.hostile.case import Suite

SUITES: Final[tuple[Suite, ...]] = (files.SUITE, http.SUITE, database.SUITE, bounds.SUITE, clocks.SUITE)
