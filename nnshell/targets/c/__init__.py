"""Portable C of a quantized graph: kernels (C files), the network of calls, and its memory plan.

``network`` says what is called on what, ``memory`` where the tensors lie, ``kernels/`` holds what
is called. The exported project writes the three as C; the native engine runs the same network
over the same kernels.
"""
