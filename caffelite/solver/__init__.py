"""Training: the loop, rates, update rules, tests, snapshots. The way in is :mod:`caffelite.solver.solver`."""
