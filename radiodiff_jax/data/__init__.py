"""Radio map data sets: folders of PNG files, packed ArrayRecord files, and the batches drawn from them."""
