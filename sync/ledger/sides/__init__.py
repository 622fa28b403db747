"""What is known of the sides themselves: who they are, and what was proved of them."""
