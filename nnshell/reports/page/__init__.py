"""The page that `report` writes: its content, its templates, its files."""
