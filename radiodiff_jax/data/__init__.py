"""Radio map data sets: folders of PNG files, packed ArrayRecord files, and the batches that training draws from them."""
