"""Functions from grids to grids that programs are made of, and the regions they look at."""
