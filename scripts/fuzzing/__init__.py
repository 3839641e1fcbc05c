"""The fuzzer's parts: what goes in (models, files, scripts), what must hold, and the workers."""
