"""Reports of a fit or an evaluation: a page, its plots, and the table that terminals show too."""
