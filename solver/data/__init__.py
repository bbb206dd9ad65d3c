"""Tasks and what is done to their grids: reading, views, transformations, and their plain form for JSON."""
