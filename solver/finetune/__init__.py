"""Fine-tuning of checkpoints from elsewhere, before test time."""
