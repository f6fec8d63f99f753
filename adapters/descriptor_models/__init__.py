"""Networks that describe pictures: the implementations of `DescriptorModel`."""
