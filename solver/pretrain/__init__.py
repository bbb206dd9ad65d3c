"""Where weights/ come from: data, batches and the training loop (`python -m solver pretrain`)."""
