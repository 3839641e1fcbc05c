"""What a report says beyond its numbers: advice, levers, sweeps, traces, uncertainty."""
