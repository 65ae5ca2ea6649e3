"""What runs the notebooks, and what keeps results with the project for them."""
