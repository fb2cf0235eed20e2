"""Pages over runs: watch, start, compare, look at data, try models. No torch: what trains is the command line's own command."""
