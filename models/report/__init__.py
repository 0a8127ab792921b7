"""Pages and tables of a fit or an evaluation."""
