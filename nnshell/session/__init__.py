"""A project: a graph with what a session knows of it, and the commands that change it."""
