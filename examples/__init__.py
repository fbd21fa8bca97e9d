"""Show how to use the library on a classifier of your own."""
