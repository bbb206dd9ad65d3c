"""Rules and final steps that are fitted to the demonstrations. Law: what is returned reproduces every demonstration."""
