"""Reading and preprocessing images, arrays and labelled sets.

``options`` (what a command was told; costs nothing to import), ``layout`` (what a graph takes),
``input_set`` (``open_inputs``: names, labels, streaming batches), ``checks`` (do they look right?),
``norm_parser`` (norm functions). After them: ``sources`` (patterns to files), ``columns`` and
``samples`` (files to decoded blocks), ``images``, ``arrays``, ``datasets`` (formats), ``labels``,
``reading`` (errors that name the file), ``preprocess`` and ``norm`` (blocks to float32).
"""
