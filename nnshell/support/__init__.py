"""What every room stands on: errors, files, settings, cores, samples."""
