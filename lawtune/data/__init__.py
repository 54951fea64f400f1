"""From raw legal sources to leak-free, encoded questions and answers."""
