"""Sources of files: addresses that may be named, downloads that resume, copies that are kept."""
