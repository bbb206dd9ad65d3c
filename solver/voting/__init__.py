"""From candidates to two attempts: votes, programs' answers, and the order of both."""
