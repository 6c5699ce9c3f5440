"""Programs in a rack that do not mean well: each speaks a real protocol and lies in one way."""
