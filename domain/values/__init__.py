"""What the domain speaks of: frozen values that validate themselves, and their arithmetic."""
