"""Stage 2: messages -> graph. Pure functions: no arrays, no engine. Each step's result prints itself."""
