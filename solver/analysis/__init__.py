"""What looks at runs afterwards: scores, comparisons, reports, pictures. Nothing that answers tasks imports it."""
