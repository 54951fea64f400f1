"""What ships inside the package: corpus, questions and answers, and the starter model."""
