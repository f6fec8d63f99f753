"""Files that an operator names: tile folders, descriptors, sectors; read strictly, refused by name."""
