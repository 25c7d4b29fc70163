"""Batches from files: databases, transformation, prefetching, data sets. Knows nothing about nets.

    Data         LMDB or LevelDB -> Datum -> image -> transform -> batch
    ImageData    list of image files      -> image -> transform -> batch
    WindowData   window file              -> image -> cut       -> batch
    HDF5Data     list of HDF5 files       -> rows [-> transform] -> batch
                                                                    batch -> prefetch -> Source.next(into)

Every batch is a function of its position and the seed alone, so who makes it, when and after which other one
does not matter: a worker process, a resumed run and a run without prefetching deliver the same bits.
"""
