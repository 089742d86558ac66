"""Work over whole data sets that can be stopped at any moment and goes on where it stopped."""
