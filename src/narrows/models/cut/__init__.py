"""A model cut after a layer: its blocks, and the parts that run before and after the cut."""
