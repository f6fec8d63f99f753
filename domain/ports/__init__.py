"""What the domain asks of the world and offers to it: one Protocol a file, under the name of its adapter."""
