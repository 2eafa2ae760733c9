"""``cp``: where things go (pure), and tar archives made of local files and turned into them."""
