"""What lists look like: each thing as the fields that ``--format`` knows, and the tables made of them. Pure."""
