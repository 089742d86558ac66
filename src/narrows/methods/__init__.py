"""Attribution methods behind one signature, so that they can be compared on the same texts and targets."""
