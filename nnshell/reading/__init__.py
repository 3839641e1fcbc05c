"""What importers and operators share when a model file is read: context, registry, refusals."""
