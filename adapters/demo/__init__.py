"""The demonstration flight's ingredients: real imagery, a descriptor of its own, a route, a picture."""
