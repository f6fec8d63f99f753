"""The pure core: values, policies, ports, errors and use cases. Knows no infrastructure."""
