"""Where the ideas are from: what the settings' `BASIS` names."""

PAPER = "arXiv 2411.07279"  # The Surprising Effectiveness of Test-Time Training for Abstract Reasoning
TRAINING, SAMPLING = f"{PAPER}, section 3", f"{PAPER}, section 4"
PRODUCT = "arXiv 2505.07859"  # Product of Experts with LLMs
LORA = "arXiv 2106.09685, section 4"
NEAREST = "arXiv 2305.18466, test-time training on nearest neighbours"
NVARC = "NVARC, 2025"
OURS = "this project"
MEASURED = "measured (`notebooks/log.md`)"
COMMON = "common practice"
