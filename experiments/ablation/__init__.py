"""An ablation: variants of a generator, each trained with several seeds under one budget, as ordinary run folders."""
