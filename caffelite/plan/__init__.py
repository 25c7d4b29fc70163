"""Stage 3: graph + engine -> plan. Chooses kernels, layouts, fusions and memory; computes nothing."""
