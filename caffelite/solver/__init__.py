"""Training: the loop, learning rate policies, update rules, tests, snapshots. The way in is ``solver.solver``."""
