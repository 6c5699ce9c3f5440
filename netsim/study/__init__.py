"""One simulation, many of them, and what they come to: results, the limit, tables, plots, power plans."""
