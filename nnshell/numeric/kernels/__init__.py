"""The integers of families of operators: parameters of a kernel, its meaning in int64."""
