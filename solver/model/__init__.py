"""The models: grid_qwen3, its twin for vLLM, and what a checkpoint's directory holds."""
