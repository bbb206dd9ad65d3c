"""Rules that are fitted to the demonstrations: cells, copies, moves, rays and what ends a program."""
