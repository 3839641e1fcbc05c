"""The int8 graph run tile by tile, as the plan of the simulator cuts it."""
