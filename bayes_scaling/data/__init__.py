"""Run tables: what a column means, how a table is read, checked, flagged and summed up."""
