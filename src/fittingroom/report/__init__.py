"""Records to figures, tables and one HTML file. Reads run folders; no torch, no data set."""
