"""A model cut after a layer: its blocks, and what runs before and after the cut."""
