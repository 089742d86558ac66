"""How far to trust a map: tests that take maps, whoever made them."""
