"""The map page: what a store or a base holds, in a browser, without a network and without a change to it."""
