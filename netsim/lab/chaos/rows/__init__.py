"""The chaos table: one value and one function a row."""
