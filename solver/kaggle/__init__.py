"""What a submission on Kaggle needs: its notebook's steps, and wheels for a machine without network."""
