"""Where model-written programs run: a process of its own, enclosed in layers."""
