"""What operators of one family share; every operator itself is a file of ``nnshell.ops``."""
