"""What an operator does to releases by name and number: list, compare, make, promote, roll back, pin."""
