"""The ways to bring an image to N nodes that the lab can run, a module each; `by_name` has the list."""
