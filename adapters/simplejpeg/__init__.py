"""JPEG pictures, decoded by libjpeg-turbo."""
