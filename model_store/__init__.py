"""What is kept, and what training and serving must do alike."""
