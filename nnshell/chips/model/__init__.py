"""What a network costs on a chip: kernels, geometry, tiles, memory plan, cycles, energy."""
