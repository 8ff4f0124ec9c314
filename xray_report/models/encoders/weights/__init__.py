"""Weight files: strict placing (files), pickled modules, DenseNet121's formats, leaks."""
