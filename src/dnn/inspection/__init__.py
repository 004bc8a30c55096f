"""Looking at networks: tables, drawings, plots, gradients checked and explained, the rate finder."""
