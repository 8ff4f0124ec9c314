"""Weight files: containers and strict placing (files), DenseNet121's formats (densenet), leaks."""
