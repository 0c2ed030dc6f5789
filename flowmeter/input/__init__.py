"""Captures: files in every format, pipes, live interfaces."""
