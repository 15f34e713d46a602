"""The benchmark: this operator, its peers and bare scripts side by side on a local cluster; `make bench`."""
