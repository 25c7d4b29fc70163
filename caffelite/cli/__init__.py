"""The command line: ``caffelite VERB``. One file a verb; each reads its flags and calls the library."""
