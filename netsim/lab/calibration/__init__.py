"""The simulator against the lab: the rows that are compared, their record, and the comparison."""
