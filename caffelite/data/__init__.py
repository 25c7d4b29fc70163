"""Batches from files: databases, transformation, prefetching, data sets. Knows nothing about nets.

    LMDB -> datum -> transform -> batch -> prefetch -> DatumSource.next(into)

Every batch is a function of its position and the seed alone, so who makes it, when and after which other one
does not matter: a worker process, a resumed run and a run without prefetching deliver the same bits.
"""
